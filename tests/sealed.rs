//! A server's side of TLS: certificates of each kind, and a peer that speaks sealed.
//!
//! ```text
//!   Authority ──► certificate ──► ServerConfig ──► Sealed::accept(peer) ──► hear, say, end
//! ```
//!
//! The certificates are made anew for each story, so that none of them can be out of date by accident.
//! Next: `tls` and `proxy`, the stories.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, PKCS_ED25519, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use windlass::task::yield_now;

use crate::Peer;

/// Who signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What a certificate is for, and when: good for `localhost` and 127.0.0.1 from 2001 to 2999, unless a field says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Certificate {
    /// Host names and addresses.
    pub names: &'static [&'static str],
    /// The year at whose beginning it becomes valid.
    pub from: i32,
    /// The year at whose beginning it expires.
    pub until: i32,
}

/// Good for this machine.
pub const GOOD: Certificate = Certificate { names: &["localhost", "127.0.0.1"], from: 2001, until: 2999 };

impl Certificate {
    fn params(&self) -> CertificateParams {
        let names: Vec<String> = self.names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(self.from, 1, 1);
        params.not_after = date_time_ymd(self.until, 1, 1);
        params.distinguished_name.push(DnType::CommonName, "a server in a story");
        params
    }

    /// Signed by itself alone: chain and key in PEM.
    pub fn self_signed(&self) -> (String, String) {
        let key = KeyPair::generate().expect("randomness");
        let certificate = self.params().self_signed(&key).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

impl Authority {
    /// One that shows its own certificate as a server's: chain and key in PEM. It is what `openssl req -x509` makes.
    pub fn posing_as(what: &Certificate) -> (String, String) {
        let mut params = what.params();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("randomness");
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    }

    /// One that nobody knows yet. Those of different names have different keys, and so have those of the same.
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("randomness");
        Authority { issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate") }
    }

    /// For those who trust it.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate and its key, in PEM.
    pub fn sign(&self, what: &Certificate) -> (String, String) {
        self.sign_for(what, &KeyPair::generate().expect("randomness"))
    }

    fn sign_for(&self, what: &Certificate, key: &KeyPair) -> (String, String) {
        let certificate = what.params().signed_by(key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// A server with such a certificate. Its signatures are always equally long (ECDSA's are not), so an exchange that is cut
    /// off after so many bytes is cut off at the same place each time.
    pub fn server(&self, what: &Certificate) -> ServerConfig {
        server(&self.sign_for(what, &KeyPair::generate_for(&PKCS_ED25519).expect("randomness")))
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// A server with this certificate and key, in PEM.
pub fn server((certificate, key): &(String, String)) -> ServerConfig {
    use rustls::pki_types::pem::PemObject;
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("ring has them").with_no_client_auth();
    config.with_single_cert(vec![certificate], key).expect("a key of the certificate's")
}

/// A peer that speaks TLS.
#[derive(Debug)]
pub struct Sealed {
    /// Who it is underneath.
    pub peer: Peer,
    /// For what a story cannot say otherwise.
    pub session: ServerConnection,
    /// How many more bytes it puts on the wire before it gives up.
    pub allowance: usize,
    /// Bytes at a time.
    pub piece: usize,
    /// What has come and the session has not taken: it wants to be emptied first.
    unfed: Vec<u8>,
}

impl Sealed {
    /// A peer that has not greeted yet.
    pub fn new(peer: Peer, config: ServerConfig) -> Sealed {
        let session = ServerConnection::new(Arc::new(config)).expect("a config");
        Sealed { peer, session, allowance: usize::MAX, piece: usize::MAX, unfed: Vec::new() }
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// Whatever goes wrong; an alert has gone out then.
    pub async fn accept(peer: Peer, config: ServerConfig) -> io::Result<Sealed> {
        let mut sealed = Sealed::new(peer, config);
        sealed.shake_hands().await?;
        Ok(sealed)
    }

    /// Goes on until both have greeted.
    ///
    /// # Errors
    /// As [`accept`](Sealed::accept).
    pub async fn shake_hands(&mut self) -> io::Result<()> {
        while self.session.is_handshaking() {
            self.fill().await?;
            self.flush().await?;
        }
        Ok(())
    }

    /// Reads some of what is there; what it says must be taken out before the next time.
    ///
    /// # Errors
    /// As [`accept`](Sealed::accept), and if it is the end.
    pub async fn fill(&mut self) -> io::Result<()> {
        if self.unfed.is_empty() {
            let mut buffer = [0; 4096];
            let n = self.peer.stream.read(&mut buffer).await?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.unfed.extend_from_slice(&buffer[..n]);
        }
        let fed = self.session.read_tls(&mut &*self.unfed)?;
        self.unfed.drain(..fed);
        if let Err(error) = self.session.process_new_packets() {
            self.flush().await?;
            return Err(io::Error::other(error));
        }
        Ok(())
    }

    /// Puts what is sealed on the wire.
    ///
    /// # Errors
    /// If nobody takes it, or the allowance is used up.
    pub async fn flush(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut out)?;
        }
        let allowed = &out[..out.len().min(self.allowance)];
        for piece in allowed.chunks(self.piece.min(allowed.len().max(1))) {
            self.peer.stream.write_all(piece).await?;
            if self.piece < usize::MAX {
                yield_now().await;
                yield_now().await;
            }
        }
        self.allowance -= allowed.len();
        if allowed.len() < out.len() { Err(io::Error::other("the allowance is used up")) } else { Ok(()) }
    }

    /// Hears a head and what has come with it; none at the end, said or not.
    pub async fn hear(&mut self) -> Option<String> {
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            let mut buffer = [0; 4096];
            match self.session.reader().read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => heard.extend_from_slice(&buffer[..n]),
                Err(_nothing_yet) => self.fill().await.ok()?,
            }
        }
        Some(String::from_utf8_lossy(&heard).into_owned())
    }

    /// Seals `bytes` and sends them. False if nobody takes them, or the allowance is used up.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.session.set_buffer_limit(None);
        self.session.writer().write_all(bytes.as_ref()).expect("a buffer without limit");
        self.flush().await.is_ok()
    }

    /// Says that nothing more will come.
    pub async fn end(&mut self) -> bool {
        self.session.send_close_notify();
        self.flush().await.is_ok()
    }

    /// Waits until the other side has gone; true if it has said so.
    pub async fn until_gone(&mut self) -> bool {
        while self.hear().await.is_some() {}
        self.session.process_new_packets().is_ok_and(|state| state.peer_has_closed())
    }
}
