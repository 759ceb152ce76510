//! What nobody on the way can read or change: TLS, as rustls speaks it.
//!
//! ```text
//!   connection ──► poll_write ──► session: seals ──────────────────────► socket
//!   connection ◄── poll_read  ◄── session: opens ◄── the shared buffer ◄── socket
//!                                    └ tickets, key updates and alerts stay here
//! ```
//!
//! The session is rustls's and does no input or output. What is sealed goes out before more is taken, so nothing piles up;
//! what is opened goes to the connection at once, so nothing waits in between. Our last words of a TLS 1.3 handshake go out
//! with the first request, in one call.
//!
//! Whether an idle connection is quiet cannot be told from the socket alone: a server may send a ticket for the next
//! session whenever it likes, and that is no answer that nobody asked for. So what comes meanwhile is opened, and only
//! data, an end or an error count.
//!
//! The end of the stream is an end only if the peer has said so (`close_notify`, RFC 8446 6.1): anybody on the way can
//! end a TCP connection. A body that lasts until the end is truncated without it; one whose length is known needs no such
//! word.
//!
//! Not here: how long a handshake may take (`timeouts`), the server's side.   Next: `proxy`, which may stand between.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, BufRead, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError as Refusal, ClientConfig, ClientConnection, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use windlass_reactor::Direction;

use crate::http::read::{poll_read_with, read_shared};
use crate::http::{ClientBuilder, Error, ErrorKind, Url};
use crate::net::TcpStream;

/// How many of the names that a certificate is for an error lists.
const NAMES_MAX: usize = 5;

/// Whom a client trusts, and the sessions that it may resume.
///
/// TLS 1.2 and 1.3, HTTP/1.1 by ALPN, the server's name by SNI unless it is an address. Clones share the sessions: the
/// 256 servers met last are greeted again in fewer words (RFC 8446 2.2).
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::{Client, Tls};
/// let client = Client::builder().tls(Tls::new()).build(); // the default, which needs no saying
/// # drop(client);
/// ```
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts the authorities that Mozilla trusts, as they were when webpki-roots was released. Reads no file.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let tls = windlass::http::Tls::new();
    /// # drop(tls);
    /// ```
    pub fn new() -> Tls {
        Tls::trusting(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
            .expect("the list is not empty and the provider knows TLS 1.2 and 1.3")
    }

    /// Trusts the authorities that this machine trusts. Reads files, those of `SSL_CERT_FILE` and `SSL_CERT_DIR` if these
    /// are set, and blocks meanwhile.
    ///
    /// # Errors
    /// Of kind [`Tls`](ErrorKind::Tls), if there is no certificate that can be read.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// match windlass::http::Tls::system_roots() {
    ///     Ok(tls) => println!("{tls:?}"),
    ///     Err(none) => println!("{none}"), // a container without ca-certificates
    /// }
    /// ```
    pub fn system_roots() -> Result<Tls, Error> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (taken, _odd) = roots.add_parsable_certificates(found.certs);
        if taken == 0 {
            let none = Error::new(ErrorKind::Tls, "tls: the system has no certificates of authorities");
            return Err(found.errors.into_iter().next().map_or(none, |why| {
                Error::new(ErrorKind::Tls, "tls: the system's certificates of authorities").with_source(why)
            }));
        }
        Tls::trusting(roots)
    }

    /// Trusts the certificates in `pem` and no others: authorities, and servers' that are signed by themselves.
    ///
    /// Nobody is both: a certificate that may sign others (`CA:TRUE`, which is what `openssl req -x509` makes of its own
    /// accord) is refused when a server shows it, whether it is in here or not. One for a test is made with
    /// `-addext basicConstraints=critical,CA:FALSE`.
    ///
    /// # Errors
    /// Of kind [`Tls`](ErrorKind::Tls), if there is none in it, or one that is malformed.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let none = windlass::http::Tls::roots_from_pem(b"").unwrap_err();
    /// assert_eq!(none.to_string(), "tls: there is no certificate in the PEM text");
    /// ```
    pub fn roots_from_pem(pem: &[u8]) -> Result<Tls, Error> {
        let malformed = |why: String| Error::new(ErrorKind::Tls, format!("tls: a certificate in the PEM text: {why}"));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|why| malformed(why.to_string()))?;
            roots.add(certificate).map_err(|why| malformed(why.to_string()))?;
        }
        if roots.is_empty() {
            return Err(Error::new(ErrorKind::Tls, "tls: there is no certificate in the PEM text"));
        }
        Tls::trusting(roots)
    }

    /// Takes any certificate from anybody: whoever is on the way can then read and change everything. For tests.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let tls = windlass::http::Tls::accept_invalid_certs();
    /// # drop(tls);
    /// ```
    pub fn accept_invalid_certs() -> Tls {
        Tls::with(None, ring::default_provider()).expect("the provider knows TLS 1.2 and 1.3")
    }

    fn trusting(roots: RootCertStore) -> Result<Tls, Error> {
        let provider = ring::default_provider();
        let roots = Arc::new(roots);
        let judge = WebPkiServerVerifier::builder_with_provider(roots.clone(), Arc::new(provider.clone())).build();
        let judge = judge.map_err(|why| Error::new(ErrorKind::Tls, "tls").with_source(why))?;
        Tls::with(Some((judge, roots)), provider)
    }

    fn with(
        judge: Option<(Arc<WebPkiServerVerifier>, Arc<RootCertStore>)>,
        provider: CryptoProvider,
    ) -> Result<Tls, Error> {
        let verifier = Verifier { judge, algorithms: provider.signature_verification_algorithms };
        let config = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
        let config = config.map_err(|why| Error::new(ErrorKind::Tls, "tls").with_source(why))?;
        let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { config: Arc::new(config) })
    }
}

impl Default for Tls {
    fn default() -> Self {
        Tls::new()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// With the feature `tls`.
impl ClientBuilder {
    /// Whom it trusts; without this [`Tls::new`], made when the first `https` URL is asked for.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Tls};
    /// let careless = Client::builder().tls(Tls::accept_invalid_certs()).build();
    /// # drop(careless);
    /// ```
    pub fn tls(mut self, tls: Tls) -> Self {
        self.dialing.tls = tls.into();
        self
    }
}

/// A server's certificate that was refused: the [`source`](std::error::Error::source) of an [`Error`] of kind
/// [`Tls`](ErrorKind::Tls). Other failures of TLS have another source.
///
/// Its text says whose certificate it is and what is wrong with it: that it has expired or is not valid yet, for which
/// names it is, that it is signed by nobody trusted, or by itself alone, or is an authority's and no server's.
///
/// ```
/// # use windlass_net::windlass;
/// use std::error::Error as _;
/// use windlass::http::{CertificateError, Error, ErrorKind};
/// fn exit_code(error: &Error) -> i32 {
///     let is_certificate = error.source().is_some_and(|source| source.is::<CertificateError>());
///     if is_certificate { 60 } else if error.kind() == ErrorKind::Tls { 35 } else { 1 }
/// }
/// assert_eq!(exit_code(&Error::new(ErrorKind::Tls, "tls: no common version")), 35);
/// ```
#[derive(Clone, Debug)]
pub struct CertificateError {
    host: Box<str>,
    why: Refusal,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate of {} ", self.host)?;
        match &self.why {
            Refusal::Expired => write!(f, "has expired"),
            Refusal::ExpiredContext { time, not_after } => write!(f, "expired {} ago", Span::between(not_after, time)),
            Refusal::NotValidYet => write!(f, "is not valid yet"),
            Refusal::NotValidYetContext { time, not_before } => {
                write!(f, "is not valid for another {}", Span::between(time, not_before))
            }
            Refusal::NotValidForNameContext { presented, .. } if presented.is_empty() => write!(f, "is for no name"),
            Refusal::NotValidForNameContext { presented, .. } => {
                let names: Vec<_> = presented.iter().take(NAMES_MAX).map(|name| bare(name)).collect();
                write!(f, "is for {}", names.join(", "))?;
                match presented.len() - names.len() {
                    0 => write!(f, ", and not for it"),
                    more => write!(f, " and {more} more, and not for it"),
                }
            }
            Refusal::BadSignature => write!(f, "has a signature that is not its issuer's"),
            Refusal::UnknownIssuer => write!(f, "is signed by nobody that is trusted here"),
            Refusal::Other(other) if other.0.is::<SelfSigned>() => {
                write!(f, "is signed by itself alone, and is not trusted here")
            }
            Refusal::Other(other) if other.0.is::<TrustedAuthority>() => {
                write!(f, "is that of an authority trusted here (CA:TRUE), and none for a server")
            }
            other => write!(f, "is refused: {other}"),
        }
    }
}

impl std::error::Error for CertificateError {}

/// `DnsName("a.example")`, as webpki tells names, without what is around; a peer's bytes, so nothing that a terminal obeys.
fn bare(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"').escape_debug().to_string()
}

/// A time in its largest unit.
struct Span(Duration);

impl Span {
    fn between(from: &UnixTime, to: &UnixTime) -> Span {
        Span(Duration::from_secs(to.as_secs().saturating_sub(from.as_secs())))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds @ ..7_200 => write!(f, "{seconds} s"),
            seconds @ ..172_800 => write!(f, "{} h", seconds / 3_600),
            seconds => write!(f, "{} days", seconds / 86_400),
        }
    }
}

/// Who judges certificates: nobody, or webpki by what is trusted; and if that knows no issuer, whether there was one.
#[derive(Debug)]
struct Verifier {
    judge: Option<(Arc<WebPkiServerVerifier>, Arc<RootCertStore>)>,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("self-signed")
    }
}

impl std::error::Error for SelfSigned {}

#[derive(Debug)]
struct TrustedAuthority;

impl fmt::Display for TrustedAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an authority's")
    }
}

impl std::error::Error for TrustedAuthority {}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some((judge, roots)) = &self.judge else { return Ok(ServerCertVerified::assertion()) };
        let judged = judge.verify_server_cert(certificate, intermediates, name, ocsp, now);
        judged.map_err(|error| match error {
            // One that may sign others as well is refused for that, before anybody looks for its issuer.
            rustls::Error::InvalidCertificate(Refusal::UnknownIssuer | Refusal::Other(_))
                if is_self_signed(certificate) =>
            {
                let why = if is_among(roots, certificate) {
                    OtherError(Arc::new(TrustedAuthority))
                } else {
                    OtherError(Arc::new(SelfSigned))
                };
                rustls::Error::InvalidCertificate(Refusal::Other(why))
            }
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    webpki::EndEntityCert::try_from(certificate).is_ok_and(|parsed| parsed.issuer() == parsed.subject())
}

fn is_among(roots: &RootCertStore, certificate: &CertificateDer<'_>) -> bool {
    webpki::anchor_from_trusted_cert(certificate).is_ok_and(|anchor| roots.roots.contains(&anchor.to_owned()))
}

/// A TCP connection that is spoken over in TLS. When it is dropped it tells the peer so, if that can be done at once.
pub(crate) struct TlsStream {
    pub(crate) socket: TcpStream,
    /// In a cell, since to look whether it is quiet is to open what has come.
    inner: RefCell<Inner>,
}

struct Inner {
    session: ClientConnection,
    /// What was opened before anybody read.
    early: Vec<u8>,
    /// How many of the caller's bytes are sealed and on their way out.
    sealed: usize,
    /// Some of these have gone out.
    is_begun: bool,
}

/// What an exchange calls is never inlined: one without TLS is not to grow by it.
impl TlsStream {
    /// Shakes hands with the host of `url` at the other end of `socket`.
    ///
    /// # Errors
    /// Of kind [`Tls`](ErrorKind::Tls), whatever it is.
    pub(crate) async fn connect(socket: TcpStream, url: &Url, tls: &Tls) -> Result<Box<TlsStream>, Error> {
        let host = url.host();
        let name = match url.ip() {
            Some(ip) => ServerName::IpAddress(IpAddr::into(ip)),
            None => ServerName::try_from(host.to_owned())
                .map_err(|why| Error::new(ErrorKind::Tls, format!("tls: a name that no certificate is for: {why}")))?,
        };
        let session = ClientConnection::new(tls.config.clone(), name);
        let session = session.map_err(|why| Error::new(ErrorKind::Tls, "tls").with_source(why))?;
        let inner = Inner { session, early: Vec::new(), sealed: 0, is_begun: false };
        // Boxed before it is waited for: whoever waits for any connection has room for this.
        let mut stream = Box::new(TlsStream { socket, inner: RefCell::new(inner) });
        stream.shake_hands().await.map_err(|error| explain(error, host))?;
        Ok(stream)
    }

    async fn shake_hands(&mut self) -> io::Result<()> {
        while self.inner.get_mut().session.is_handshaking() {
            poll_fn(|cx| self.poll_flush(cx)).await?;
            if self.inner.get_mut().session.is_handshaking() {
                poll_fn(|cx| self.poll_open(cx, None)).await?;
            }
        }
        Ok(())
    }

    /// Seals some of `bytes` and is ready when that has gone out. Until then it must be asked again with the same bytes.
    #[inline(never)]
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let inner = self.inner.get_mut();
        if inner.sealed == 0 {
            (inner.sealed, inner.is_begun) = (inner.session.writer().write(bytes)?, false);
        }
        debug_assert!(inner.sealed <= bytes.len(), "the same bytes as before");
        ready!(self.poll_flush(cx))?;
        Poll::Ready(Ok(std::mem::take(&mut self.inner.get_mut().sealed)))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Inner { session, is_begun, .. } = self.inner.get_mut();
        while session.wants_write() {
            ready!(self.socket.fd().poll_io(Direction::Write, cx, |mut socket| session.write_tls(&mut socket)))?;
            *is_begun = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the peer may have some of the bytes that [`poll_write`](Self::poll_write) has not said have gone out.
    #[inline(never)]
    pub(crate) fn has_begun(&self) -> bool {
        let inner = self.inner.borrow();
        inner.sealed > 0 && inner.is_begun
    }

    /// Opens what has come and appends it to `to`; 0 is the end, and the peer has said so.
    #[inline(never)]
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let had = to.len();
        to.append(&mut self.inner.get_mut().early);
        while to.len() == had {
            // What has gone wrong, or ended, stays so.
            if self.inner.get_mut().session.process_new_packets().map_err(broken)?.peer_has_closed() {
                return Poll::Ready(Ok(0));
            }
            match ready!(self.poll_open(cx, Some(to))) {
                Err(error) if to.len() == had => return Poll::Ready(Err(error)),
                _ => {} // first what came in good order
            }
        }
        Poll::Ready(Ok(to.len() - had))
    }

    /// Reads once and opens what has come, into `to` or for who reads first.
    fn poll_open(&mut self, cx: &mut Context<'_>, to: Option<&mut Vec<u8>>) -> Poll<io::Result<()>> {
        let Inner { session, early, .. } = self.inner.get_mut();
        let to = to.unwrap_or(early);
        let mut opened = Ok(());
        if ready!(poll_read_with(&self.socket, cx, |sealed| opened = open(session, sealed, to)))? == 0 {
            return Poll::Ready(Err(cut_off()));
        }
        if opened.is_err() {
            let _ = self.poll_flush(cx); // the alert that says why; if it does not go out, the end says enough
        }
        Poll::Ready(opened.map_err(broken))
    }

    /// Waits until there is something to read.
    #[inline(never)]
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.inner.get_mut().is_spent() {
            return Poll::Ready(Ok(()));
        }
        self.socket.fd().poll_ready(Direction::Read, cx)
    }

    /// Whether no data has come, no end and no error: as far as what has been read tells.
    #[inline(never)]
    pub(crate) fn was_quiet(&self) -> bool {
        !self.inner.borrow_mut().is_spent()
    }

    /// As [`was_quiet`](Self::was_quiet), when something has come: it may be a ticket.
    #[inline(never)]
    pub(crate) fn ask_is_quiet(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        let Inner { session, early, .. } = &mut *inner;
        let mut opened = Ok(());
        // Two tickets are usual, and who sends more than fill the buffer is not quiet: the second read finds nothing.
        for _ in 0..2 {
            match self.socket.fd().try_io(Direction::Read, |socket| {
                read_shared(socket, &mut |sealed| opened = open(session, sealed, early))
            }) {
                Ok(1..) if opened.is_ok() => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return !inner.is_spent(),
                _ => return false,
            }
        }
        false
    }
}

impl Inner {
    fn is_spent(&mut self) -> bool {
        !self.early.is_empty() || self.session.process_new_packets().map_or(true, |state| state.peer_has_closed())
    }
}

impl Drop for TlsStream {
    #[inline(never)]
    fn drop(&mut self) {
        let Inner { session, sealed, .. } = self.inner.get_mut();
        if session.is_handshaking() || *sealed > 0 {
            return; // there is no session to end, or it is broken off amid a request
        }
        session.send_close_notify();
        let _ = self.socket.fd().try_io(Direction::Write, |mut socket| session.write_tls(&mut socket));
    }
}

/// Opens all of `sealed` and appends it to `to`.
fn open(session: &mut ClientConnection, mut sealed: &[u8], to: &mut Vec<u8>) -> Result<(), rustls::Error> {
    while !sealed.is_empty() {
        match session.read_tls(&mut sealed) {
            Ok(0) => return Ok(()), // what is behind a close_notify is nobody's (RFC 8446 6.1)
            Ok(_) => {}
            Err(error) => return Err(rustls::Error::General(error.to_string())),
        }
        let processed = session.process_new_packets();
        let mut reader = session.reader();
        while let Ok(opened @ [_, ..]) = reader.fill_buf() {
            to.extend_from_slice(opened);
            let len = opened.len();
            reader.consume(len);
        }
        processed?; // what came before it was in good order
    }
    Ok(())
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended without a TLS close_notify")
}

fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What went wrong in a handshake with `host`.
#[cold]
fn explain(error: io::Error, host: &str) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            let refused = CertificateError { host: host.into(), why: why.clone() };
            Error::new(ErrorKind::Tls, "tls").with_source(refused)
        }
        Some(rustls::Error::InvalidMessage(what)) => Error::new(
            ErrorKind::Tls,
            format!("tls handshake: what {host} sent is not TLS, perhaps it speaks plain http ({what:?})"),
        ),
        _ => Error::io(ErrorKind::Tls, "tls handshake", error),
    }
}
