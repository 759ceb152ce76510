//! Takes a stream of replies apart, and says what a client would make of each.
//!
//! ```text
//!     printf 'HTTP/1.1 204 No Content\r\n\r\n' | cargo run --release --example parse -- --method GET
//!     {"status":204,"minor":1,"reason":"No Content","headers":[],"framing":"none", ...
//!
//!     stdin ──► cut as --split says ──► Reader ──► a line of JSON for each message ──► stdout
//!                                                  and for an error the last one
//! ```
//!
//! What a line holds and what ends a stream is in `--help`, the rules in the documentation of `windlass::http`.
//! Not here: sockets, time.   Next: `windlass::http::head` and `body`, which do the work.

use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use sha2::{Digest, Sha256};
use windlass::http::body::Decoder;
use windlass::http::head::{Asked, Fields, Framing, ResponseHead, Version};
use windlass::http::{Error, Limits};
use windlass_examples::out;

/// Reads one raw reply stream on stdin and prints one line of JSON for each message.
///
/// A message: status, minor, reason, headers (pairs, in their order), framing (length, chunked, close or none), body_len and
/// body_sha256 (framing undone), trailers, keep_alive, consumed (bytes of this message). Interim replies (1xx) are messages.
/// Bytes beyond ASCII in reason, headers and trailers are the characters of the same number (Latin-1).
///
/// An error ends the output: {"error": "KIND: TEXT", "offset"}. KIND is protocol, too_large, truncated (the stream has ended)
/// or unfinished (more may come). The offset is that of the byte at which the error is certain, counted from 0; for truncated
/// and unfinished it is the length of the stream. A malformed head is certain at the end of its empty line, a size at the
/// byte that passes the limit, a chunk at its first wrong byte.
///
/// Behind a message that ends the connection nothing is read. One CRLF behind the last message is read over.
#[derive(Parser)]
#[command(
    name = "parse",
    version,
    after_help = "Exit status: 0 all messages read; 1 a message is bad or not all there; 2 wrong usage, or stdin cannot be \
                  read; 3 two ways to cut the stream give two answers."
)]
struct Flags {
    /// The method of the requests that are answered: the reply to HEAD has no body.
    #[arg(long, value_name = "METHOD", default_value = "GET", value_parser = method)]
    method: String,
    /// The stream has ended: a body without length ends here, and what is not all there is truncated.
    #[arg(long)]
    eof: bool,
    /// How the stream is fed: in pieces of so many bytes, or in every way: cut in two at each byte, and byte by byte. The time
    /// that takes grows with the square of the length.
    #[arg(long, value_name = "N|all", value_parser = split)]
    split: Option<Split>,
}

#[derive(Clone, Copy)]
enum Split {
    All,
    Pieces(usize),
}

fn method(text: &str) -> Result<String, String> {
    let is_token =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    match text {
        "CONNECT" => Err("what follows the reply to CONNECT is not HTTP".into()),
        _ if is_token => Ok(text.into()),
        _ => Err("a method is a token".into()),
    }
}

fn split(text: &str) -> Result<Split, String> {
    match text.parse() {
        _ if text == "all" => Ok(Split::All),
        Ok(len) if len > 0 => Ok(Split::Pieces(len)),
        _ => Err("a number of bytes from 1 up, or all".into()),
    }
}

const BAD: u8 = 1;
const UNREADABLE: u8 = 2;
const DIFFERENT: u8 = 3;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let mut stream = Vec::new();
    if io::stdin().is_terminal() {
        out::to_stderr("parse: reads replies from the terminal, to its end (Ctrl-D)");
    }
    if let Err(error) = io::stdin().lock().read_to_end(&mut stream) {
        out::to_stderr(&format!("parse: stdin: {error}"));
        return UNREADABLE.into();
    }
    let outcome = match flags.split {
        None => read(&flags, [&stream[..]]),
        Some(Split::Pieces(len)) => read(&flags, stream.chunks(len)),
        Some(Split::All) => match read_every_way(&flags, &stream) {
            Ok(outcome) => outcome,
            Err(how) => {
                out::to_stderr(&format!("parse: {how} it is read otherwise than whole"));
                return DIFFERENT.into();
            }
        },
    };
    let status = if outcome.error.is_some() { BAD } else { 0 };
    match print(&flags, &stream, outcome) {
        Ok(()) => status.into(),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => status.into(), // who reads us has seen enough
        Err(error) => {
            out::to_stderr(&format!("parse: stdout: {error}"));
            BAD.into()
        }
    }
}

fn print(flags: &Flags, stream: &[u8], outcome: Outcome) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for message in &outcome.messages {
        writeln!(out, "{}", serde_json::to_string(message)?)?;
    }
    if let Some(error) = outcome.error {
        let offset = offset_of_error(flags, stream);
        writeln!(out, "{}", serde_json::json!({"error": error, "offset": offset}))?;
    }
    out.flush()?;
    if outcome.ignored > 0 {
        out::to_stderr(&format!(
            "parse: {} bytes behind the message that ends the connection are not read",
            outcome.ignored
        ));
    }
    Ok(())
}

/// What a stream is.
#[derive(PartialEq)]
struct Outcome {
    messages: Vec<Message>,
    error: Option<String>,
    /// Bytes behind a message that ends the connection.
    ignored: usize,
}

#[derive(PartialEq, Serialize)]
struct Message {
    status: u16,
    minor: u8,
    reason: String,
    headers: Vec<(String, String)>,
    framing: &'static str,
    body_len: u64,
    body_sha256: String,
    trailers: Vec<(String, String)>,
    keep_alive: bool,
    consumed: usize,
}

fn read<'a>(flags: &Flags, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut reader = Reader::new(flags);
    let fed = pieces.into_iter().try_for_each(|piece| reader.feed(piece));
    let ended = fed.map_err(|error| in_words(&error)).and_then(|()| reader.end(flags));
    Outcome { messages: reader.messages, error: ended.err(), ignored: reader.ignored }
}

/// The one outcome, or how the stream was cut when there was another one.
fn read_every_way(flags: &Flags, stream: &[u8]) -> Result<Outcome, String> {
    let whole = read(flags, [stream]);
    if read(flags, stream.chunks(1)) != whole {
        return Err("byte by byte".into());
    }
    for cut in 1..stream.len() {
        if read(flags, [&stream[..cut], &stream[cut..]]) != whole {
            return Err(format!("cut at {cut}"));
        }
    }
    Ok(whole)
}

/// It does not matter how the stream is cut, so it is fed byte by byte, and the last one is it.
fn offset_of_error(flags: &Flags, stream: &[u8]) -> usize {
    let mut reader = Reader::new(flags);
    stream.chunks(1).position(|byte| reader.feed(byte).is_err()).unwrap_or(stream.len())
}

fn in_words(error: &Error) -> String {
    format!("{}: {error}", error.kind().name())
}

/// Takes the stream piece by piece.
struct Reader {
    asked: Asked,
    limits: Limits,
    /// What has come and is not read yet.
    unread: Vec<u8>,
    head: ResponseHead,
    /// The message whose body is being read.
    under_way: Option<(Message, Body)>,
    messages: Vec<Message>,
    state: State,
    ignored: usize,
}

struct Body {
    decoder: Decoder,
    len: u64,
    hash: Sha256,
}

#[derive(PartialEq)]
enum State {
    /// No final reply has come yet, or an interim one has promised another.
    Owed,
    /// One has come; there may be more.
    Answered,
    /// One has come that ends the connection.
    Over,
}

impl Reader {
    fn new(flags: &Flags) -> Reader {
        Reader {
            asked: Asked::by(&flags.method),
            limits: Limits::default(),
            unread: Vec::new(),
            head: ResponseHead::new(),
            under_way: None,
            messages: Vec::new(),
            state: State::Owed,
            ignored: 0,
        }
    }

    fn feed(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.unread.extend_from_slice(piece);
        while self.step()? {}
        Ok(())
    }

    /// Reads a head, or what there is of a body; false if there must be more to go on.
    fn step(&mut self) -> Result<bool, Error> {
        if let Some((message, body)) = &mut self.under_way {
            let len = body.take(&self.unread)?;
            message.consumed += len;
            self.unread.drain(..len);
            let is_finished = body.decoder.is_finished();
            if is_finished {
                self.finish();
            }
            return Ok(is_finished);
        }
        if self.state == State::Over {
            self.ignored += self.unread.len();
            self.unread.clear();
        }
        if self.state != State::Owed && b"\r\n".starts_with(&self.unread) {
            return Ok(false);
        }
        let Some(len) = self.head.parse(&self.unread, &self.limits)? else { return Ok(false) };
        let framing = self.head.framing(self.asked)?;
        let decoder = Decoder::new(framing, &self.limits)?;
        let message = message(&self.head, &self.unread, framing);
        self.under_way = Some((message, Body { decoder, len: 0, hash: Sha256::new() }));
        if self.head.is_interim() {
            self.head.begin_next(&self.limits)?;
        } else {
            self.head.clear();
        }
        self.unread.drain(..len);
        Ok(true)
    }

    /// The body under way is complete.
    fn finish(&mut self) {
        let (mut message, body) = self.under_way.take().expect("a body is under way");
        (message.body_len, message.body_sha256) = (body.len, format!("{:x}", body.hash.finalize()));
        message.trailers = pairs(body.decoder.trailers());
        self.state = if message.status < 200 {
            State::Owed // whatever it says of the connection
        } else if message.keep_alive {
            State::Answered
        } else {
            State::Over
        };
        self.messages.push(message);
    }

    /// Nothing more comes, for now or for ever.
    fn end(&mut self, flags: &Flags) -> Result<(), String> {
        if let Some((_, body)) = &mut self.under_way {
            if !flags.eof {
                return Err("unfinished: the body is not all there".into());
            }
            body.decoder.finish_at_eof().map_err(|error| in_words(&error))?;
            self.finish();
            return Ok(());
        }
        if self.state != State::Owed && matches!(&self.unread[..], b"" | b"\r\n") {
            return Ok(());
        }
        // A CR alone has waited for its LF.
        self.head.parse(&self.unread, &self.limits).map_err(|error| in_words(&error))?;
        Err(if flags.eof {
            "truncated: the stream ended before a reply"
        } else {
            "unfinished: a reply is not all there"
        }
        .into())
    }
}

impl Body {
    /// How many of `bytes` belong to it.
    fn take(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let mut at = 0;
        while at < bytes.len() && !self.decoder.is_finished() {
            let step = self.decoder.decode(&bytes[at..])?;
            self.hash.update(step.data);
            self.len += step.data.len() as u64;
            at += step.consumed;
        }
        Ok(at)
    }
}

fn message(head: &ResponseHead, bytes: &[u8], framing: Framing) -> Message {
    Message {
        status: head.status(),
        minor: u8::from(head.version() == Version::Http11),
        reason: latin1(head.reason(bytes)),
        headers: pairs(head.fields(bytes)),
        framing: match framing {
            Framing::None => "none",
            Framing::Length(_) => "length",
            Framing::Chunked => "chunked",
            Framing::Close => "close",
        },
        body_len: 0,
        body_sha256: String::new(),
        trailers: Vec::new(),
        keep_alive: head.keep_alive(framing),
        consumed: head.head_len(),
    }
}

fn pairs(fields: Fields<'_>) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| (latin1(name), latin1(value))).collect()
}

/// JSON holds characters, a header bytes: each becomes the character of its number.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
