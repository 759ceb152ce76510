//! Pages as archives keep them.
//!
//! ```text
//!     FILE.warc.gz   ┌ warcinfo ┐┌ request ┐┌ response ┐┌ request ┐┌ response ┐ …
//!                    each a gzip member of its own, so that any record can be read without those before it
//!
//!     response       WARC/1.1, named fields ─ empty line ─ head, as it came ─ body, as it came, still coded
//! ```
//!
//! The form is ISO 28500 (WARC 1.1). A page's request and response are two records that name each other; kept is the answer
//! that a page ended with, and each redirect that led there, but not what was asked again for, nor robots.txt, nor a page whose
//! body was left.
//!
//! What was sent and what came is kept byte by byte, but for chunks. Their sizes are no part of the page (RFC 9112 7.1), and
//! they are gone when the crawl sees the body; a head that still announced them would have readers look for them. So the
//! field keeps its value and gets another name, `X-Crawler-Transfer-Encoding`, as the crawls that are published for others
//! have it, and trailers are left out. Content codings stay, and with them Content-Encoding and Content-Length.
//! Not here: who writes the file (`store`).   Next: `site`.

use std::{
    io::{self, Write},
    net::IpAddr,
    time::SystemTime,
};

use data_encoding::BASE32;
use flate2::{Compression, write::GzEncoder};
use sha1::{Digest, Sha1};
use uuid::Uuid;

/// A request and what came back.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) url: String,
    /// When the request was sent.
    pub(crate) at: SystemTime,
    pub(crate) address: Option<IpAddr>,
    /// The request's head, but for credentials; it has no body.
    pub(crate) request: Vec<u8>,
    /// The answer's head with its empty line, and its body without chunk sizes.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) is_whole: Whole,
}

/// Whether all of a body was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whole {
    Yes,
    /// There was more of it than is worth reading.
    No,
}

/// Makes the records of one file.
#[derive(Debug)]
pub(crate) struct Warc {
    /// The id of the record that says what made the others.
    info: String,
}

impl Warc {
    /// The beginning of a file, or of what is appended to one: who made it, asking as whom.
    pub(crate) fn begin(user_agent: &str, at: SystemTime) -> (Self, Vec<u8>) {
        let warc = Self { info: new_id() };
        let about = [
            ("software", concat!("windlass-crawl/", env!("CARGO_PKG_VERSION"))),
            ("format", "WARC File Format 1.1"),
            ("conformsTo", "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/"),
            ("http-header-user-agent", user_agent),
        ];
        let block: String = about.map(|(name, value)| format!("{name}: {}\r\n", in_one_line(value))).concat();
        let mut fields = Fields::new("warcinfo", &warc.info, at);
        fields.add("Content-Type", "application/warc-fields");
        let record = fields.record(block.as_bytes());
        (warc, record)
    }

    /// The records of a request and its answer.
    pub(crate) fn exchange(&self, exchange: &Exchange) -> Vec<u8> {
        let (request, response) = (new_id(), new_id());
        let mut out = self.request(exchange, &request, &response);
        out.extend(self.response(exchange, &request, &response));
        out
    }

    fn request(&self, exchange: &Exchange, id: &str, other: &str) -> Vec<u8> {
        let mut fields = self.fields("request", exchange, id, other);
        fields.add("Content-Type", "application/http; msgtype=request");
        fields.record(&exchange.request)
    }

    fn response(&self, exchange: &Exchange, other: &str, id: &str) -> Vec<u8> {
        let mut fields = self.fields("response", exchange, id, other);
        fields.add("Content-Type", "application/http; msgtype=response");
        fields.add("WARC-Payload-Digest", &digest(&exchange.body));
        if exchange.is_whole == Whole::No {
            fields.add("WARC-Truncated", "length");
        }
        fields.record(&[without_chunks(&exchange.head), exchange.body.clone()].concat())
    }

    fn fields(&self, kind: &str, exchange: &Exchange, id: &str, other: &str) -> Fields {
        let mut fields = Fields::new(kind, id, exchange.at);
        fields.add("WARC-Target-URI", &exchange.url);
        fields.add("WARC-Warcinfo-ID", &self.info);
        fields.add("WARC-Concurrent-To", other);
        if let Some(address) = exchange.address {
            fields.add("WARC-IP-Address", &address.to_string());
        }
        fields
    }
}

/// The named fields of a record.
struct Fields(String);

impl Fields {
    fn new(kind: &str, id: &str, at: SystemTime) -> Self {
        let mut fields = Self("WARC/1.1\r\n".to_owned());
        fields.add("WARC-Type", kind);
        fields.add("WARC-Record-ID", id);
        fields.add("WARC-Date", &humantime::format_rfc3339_micros(at).to_string());
        fields
    }

    fn add(&mut self, name: &str, value: &str) {
        self.0.extend([name, ": ", &in_one_line(value), "\r\n"]);
    }

    /// The record with this block, as a gzip member.
    fn record(mut self, block: &[u8]) -> Vec<u8> {
        self.add("WARC-Block-Digest", &digest(block));
        self.add("Content-Length", &block.len().to_string());
        let pieces = [self.0.as_bytes(), b"\r\n", block, b"\r\n\r\n"];
        let zipped = || -> io::Result<Vec<u8>> {
            let mut zip = GzEncoder::new(Vec::new(), Compression::default());
            pieces.into_iter().try_for_each(|piece| zip.write_all(piece))?;
            zip.finish()
        };
        zipped().expect("memory takes everything")
    }
}

/// A record's name, which no other one has.
fn new_id() -> String {
    format!("<{}>", Uuid::new_v4().urn())
}

/// SHA-1 in Base32: what indexes of archives look for doubles by.
fn digest(bytes: &[u8]) -> String {
    format!("sha1:{}", BASE32.encode(&Sha1::digest(bytes)))
}

/// A field must not end before its value does.
fn in_one_line(value: &str) -> String {
    value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A head that does not announce chunks; nothing else of it is touched.
fn without_chunks(head: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"transfer-encoding";
    let announces = |line: &[u8]| {
        let name = line.split(|byte| *byte == b':').next().filter(|name| name.len() < line.len());
        name.is_some_and(|name| name.trim_ascii_end().eq_ignore_ascii_case(NAME))
    };
    let mut out = Vec::with_capacity(head.len() + 16);
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        if announces(line) {
            out.extend_from_slice(b"X-Crawler-");
        }
        out.extend_from_slice(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::{io::Read, time::Duration};

    use flate2::bufread::GzDecoder;

    use super::*;

    fn exchange() -> Exchange {
        Exchange {
            url: "http://a.test/b".to_owned(),
            at: SystemTime::UNIX_EPOCH + Duration::from_micros(1_600_000_000_123_456),
            address: Some([127, 0, 0, 1].into()),
            request: b"GET /b HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec(),
            head: b"HTTP/1.1 200 OK\r\nX:  y\r\ntransfer-Encoding: chunked\r\n\r\n".to_vec(),
            body: b"hello".to_vec(),
            is_whole: Whole::Yes,
        }
    }

    /// The members of a file, each unzipped.
    fn members(mut bytes: &[u8]) -> Vec<String> {
        let mut members = Vec::new();
        while !bytes.is_empty() {
            let mut member = String::new();
            let mut zip = GzDecoder::new(bytes);
            zip.read_to_string(&mut member).unwrap();
            bytes = zip.into_inner();
            members.push(member);
        }
        members
    }

    /// The value of a record's field.
    fn field<'a>(record: &'a str, name: &str) -> Option<&'a str> {
        record.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn block(record: &str) -> &str {
        record.split_once("\r\n\r\n").unwrap().1.strip_suffix("\r\n\r\n").unwrap()
    }

    #[test]
    fn a_record_is_a_member_and_as_long_as_it_says() {
        let (warc, first) = Warc::begin("me/1", SystemTime::UNIX_EPOCH);
        let records = members(&[first, warc.exchange(&exchange())].concat());
        let kinds: Vec<_> = records.iter().map(|record| field(record, "WARC-Type").unwrap()).collect();
        assert_eq!(kinds, ["warcinfo", "request", "response"]);
        for record in &records {
            assert!(record.starts_with("WARC/1.1\r\n"));
            assert_eq!(field(record, "Content-Length"), Some(block(record).len().to_string().as_str()));
            assert_eq!(field(record, "WARC-Block-Digest").unwrap(), digest(block(record).as_bytes()));
        }
    }

    #[test]
    fn a_request_and_its_response_name_each_other_and_what_made_them() {
        let (warc, first) = Warc::begin("me/1", SystemTime::UNIX_EPOCH);
        let records = members(&[first, warc.exchange(&exchange())].concat());
        let [info, request, response] = &records[..] else { panic!("{records:?}") };
        let id = |record| field(record, "WARC-Record-ID");
        assert_eq!(field(request, "WARC-Concurrent-To"), id(response));
        assert_eq!(field(response, "WARC-Concurrent-To"), id(request));
        assert_eq!([request, response].map(|record| field(record, "WARC-Warcinfo-ID")), [id(info); 2]);
        assert_eq!([request, response].map(|record| field(record, "WARC-Target-URI")), [Some("http://a.test/b"); 2]);
        assert_eq!(field(response, "WARC-Date"), Some("2020-09-13T12:26:40.123456Z"));
        assert_eq!(field(response, "WARC-IP-Address"), Some("127.0.0.1"));
        assert!(block(info).contains("http-header-user-agent: me/1\r\n"));
    }

    #[test]
    fn what_was_sent_and_what_came_is_kept_as_it_was_but_for_the_chunks() {
        let (warc, _) = Warc::begin("me/1", SystemTime::UNIX_EPOCH);
        let records = members(&warc.exchange(&exchange()));
        assert_eq!(block(&records[0]).as_bytes(), exchange().request);
        let came = "HTTP/1.1 200 OK\r\nX:  y\r\nX-Crawler-transfer-Encoding: chunked\r\n\r\nhello";
        assert_eq!(block(&records[1]), came);
        // `printf hello | sha1sum | cut -c-40 | xxd -r -p | base32`
        assert_eq!(field(&records[1], "WARC-Payload-Digest"), Some("sha1:VL2MMHO4YXUKFWV63YHTWSBM3GXKSQ2N"));
        assert_eq!(field(&records[1], "WARC-Truncated"), None);
    }

    #[test]
    fn a_body_of_which_there_was_more_says_so() {
        let (warc, _) = Warc::begin("me/1", SystemTime::UNIX_EPOCH);
        let records = members(&warc.exchange(&Exchange { is_whole: Whole::No, ..exchange() }));
        assert_eq!(field(&records[1], "WARC-Truncated"), Some("length"));
    }

    #[test]
    fn a_value_cannot_add_fields_of_its_own() {
        let (_, first) = Warc::begin("me/1\r\nevil: 1", SystemTime::UNIX_EPOCH);
        assert_eq!(field(&members(&first)[0], "evil"), None);
        let head = b"HTTP/1.1 200 OK\r\nX: transfer-encoding: chunked\r\nTransfer-Encodings: a\r\n\r\n";
        assert_eq!(without_chunks(head), head);
    }
}
