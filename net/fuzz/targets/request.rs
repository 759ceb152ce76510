//! A request's head, whole and in pieces; one that is accepted is written by no one differently.

#![no_main]


use libfuzzer_sys::fuzz_target;
use windlass_net::http::Limits;
use windlass_net::http::head::Framing;
use windlass_net::http::request::RequestHead;

fuzz_target!(|input: &[u8]| {
    let [cuts, stream @ ..] = input else { return };
    let whole = hear(&[stream]);
    assert_eq!(hear(&pieces::cut(stream, *cuts)), whole, "it does not depend on the cut");
});

/// Method, target, framing, whether the connection is kept, and the length of the head.
type Heard = Result<(Vec<u8>, Vec<u8>, Framing, bool, usize), &'static str>;

fn hear(pieces: &[&[u8]]) -> Heard {
    let (mut head, mut buf) = (RequestHead::new(), Vec::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        let Some(len) = head.parse(&buf, &Limits::default()).map_err(|error| error.kind().name())? else { continue };
        let (method, target) = (head.method(&buf).to_vec(), head.target(&buf).to_vec());
        assert!(len <= buf.len() && buf[..len].ends_with(b"\r\n\r\n"));
        let line = [&method[..], b" ", &target, b" ", head.version().to_string().as_bytes(), b"\r\n"].concat();
        let begin = if buf.starts_with(b"\r\n") { 2 } else { 0 };
        assert!(buf[begin..].starts_with(&line), "the line is what it is taken for");
        assert!(target.iter().all(u8::is_ascii_graphic));
        let lines = buf[begin + line.len()..len - 2].split_inclusive(|byte| *byte == b'\n');
        assert_eq!(head.fields(&buf).iter().count(), lines.filter(|line| line.ends_with(b"\r\n")).count());
        let framing = head.framing().map_err(|error| error.kind().name())?;
        assert_ne!(framing, Framing::Close);
        return Ok((method, target, framing, head.keep_alive(), len));
    }
    Err("truncated")
}
