//! reqwest on tokio's `LocalRuntime`.
//!
//! ```text
//!     Request ──► reqwest::Client ──► hyper ──► Response ──► Answer
//! ```
//!
//! It keeps the bytes of heads to itself, and when a connection was opened. Flags that need them are refused, as are those
//! that would need more of reqwest than this program builds.
//! Not here: redirects and codings (`transfer`).   Next: `transfer`.

use std::{error::Error as _, io, time::Duration};

use reqwest::{Client, Method, Response, redirect::Policy};
use windlass::http::head::Version;

use super::{Answer, End, Engine, Head};
use crate::{
    asked::Request,
    failure::{Code, Failure},
    flags::Flags,
    write_out,
};

#[derive(Debug)]
pub(crate) struct OnTokio {
    client: Client,
}

impl OnTokio {
    /// A client as the flags ask for it.
    ///
    /// # Errors
    /// A flag that it cannot carry out.
    pub(crate) fn new(flags: &Flags, format: &str) -> Result<Self, Failure> {
        let refused = |what: &str| Failure::new(Code::Usage, format!("--engine tokio cannot do this: {what}"));
        for (is_asked, what) in [
            (flags.include, "-i: it does not tell heads as they came"),
            (flags.head, "-I: it does not tell heads as they came"),
            (flags.dump_header.is_some(), "-D: it does not tell heads as they came"),
            (flags.verbose, "-v: it does not tell heads as they came"),
            (flags.raw, "--raw: it undoes chunks"),
            (flags.http10, "-0: it speaks HTTP/1.1"),
            (flags.insecure || flags.cacert.is_some(), "-k, --cacert: it is built without TLS"),
            (!flags.resolve.is_empty(), "--resolve"),
            (flags.proxy.as_ref().is_some_and(|proxy| !proxy.is_empty()), "-x"),
        ] {
            if is_asked {
                return Err(refused(what));
            }
        }
        if let Some(name) = write_out::needs_the_wire(format) {
            return Err(refused(&format!("%{{{name}}}: it does not tell")));
        }
        let mut client = Client::builder().redirect(Policy::none()).no_proxy().http1_title_case_headers();
        if let Some(limit) = flags.connect_timeout.filter(|limit| !limit.is_zero()) {
            client = client.connect_timeout(limit);
        }
        let client = client.build().map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
        Ok(Self { client })
    }
}

impl Engine for OnTokio {
    type Answer = Heard;

    async fn send(&self, request: &Request<'_>, left: Option<Duration>) -> Result<Heard, Failure> {
        if request.url.scheme() == "https" {
            return Err(Failure::new(Code::UnsupportedProtocol, "--engine tokio is built without TLS"));
        }
        let bad = |error: &dyn std::fmt::Display| Failure::new(Code::BadArgument, error.to_string());
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|error| bad(&error))?;
        let mut asked = self.client.request(method, request.url.as_str());
        for (name, value) in &request.headers {
            asked = asked.header(name, value.trim_ascii());
        }
        if let Some(left) = left {
            asked = asked.timeout(left);
        }
        if let Some(body) = request.body {
            asked = asked.body(body.to_vec());
        }
        let response = asked.send().await.map_err(|error| named(&error, Code::WeirdReply))?;
        let headers = response.headers().iter();
        let head = Head {
            status: response.status().as_u16(),
            version: if response.version() == reqwest::Version::HTTP_10 { Version::Http10 } else { Version::Http11 },
            headers: headers.map(|(name, value)| (name.as_str().into(), value.as_bytes().into())).collect(),
            bytes: Vec::new(),
            remote: response.remote_addr(),
            local: None,
        };
        Ok(Heard { head, response, piece: Default::default() })
    }

    fn opened(&self) -> u64 {
        0 // it does not tell, and nobody may ask
    }
}

#[derive(Debug)]
pub(crate) struct Heard {
    head: Head,
    response: Response,
    piece: bytes::Bytes,
}

impl Answer for Heard {
    fn head(&self) -> &Head {
        &self.head
    }

    async fn chunk(&mut self) -> Result<Option<&[u8]>, Failure> {
        let piece = self.response.chunk().await.map_err(|error| named(&error, Code::Receive))?;
        self.piece = piece.unwrap_or_default();
        Ok((!self.piece.is_empty()).then_some(&self.piece[..]))
    }

    fn end(&self) -> End {
        End::default()
    }
}

/// reqwest's error in curl's numbers; `otherwise` if it does not say more than that it failed.
fn named(error: &reqwest::Error, otherwise: Code) -> Failure {
    let causes: Vec<_> = std::iter::successors(error.source(), |error| (*error).source()).collect();
    let system = causes.iter().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    let hyper = causes.iter().find_map(|cause| cause.downcast_ref::<hyper::Error>());
    let says = |words: &str| causes.iter().any(|cause| cause.to_string().contains(words));
    let code = match system {
        _ if error.is_timeout() => Code::TimedOut,
        _ if error.is_connect() && says("dns error") => Code::Resolve,
        _ if error.is_connect() => Code::Connect,
        _ if error.is_builder() => Code::BadArgument,
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Code::Receive,
        Some(io::ErrorKind::UnexpectedEof) => Code::Partial,
        _ if hyper.is_some_and(hyper::Error::is_incomplete_message) && otherwise == Code::Receive => Code::Partial,
        _ if hyper.is_some_and(hyper::Error::is_incomplete_message) => Code::GotNothing,
        _ if hyper.is_some_and(hyper::Error::is_parse_too_large) => Code::TooLarge,
        _ => otherwise,
    };
    let text = causes.last().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
    Failure::new(code, text)
}
