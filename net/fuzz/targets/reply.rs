//! A reply, whole and in pieces, is what a second reader takes it for; its head, what httparse does.

#![no_main]

#[path = "../../tests/corpus/exchange.rs"]
mod exchange;

use exchange::{agrees, exchange, name, pairs};
use libfuzzer_sys::fuzz_target;
use windlass_net::http::Limits;
use windlass_net::http::head::{Asked, ResponseHead};

fuzz_target!(|input: &[u8]| {
    let Some((method, pieces, stream)) = pieces::of(input) else { return };
    let whole = exchange(method, [stream].into_iter());
    assert_eq!(exchange(method, pieces.into_iter()), whole, "it does not depend on the cut");
    agrees(method, stream, &whole);
    is_read_by_httparse(method, stream);
});

/// Whatever head we take httparse takes, and finds the same in it.
fn is_read_by_httparse(method: &str, stream: &[u8]) {
    let mut head = ResponseHead::new();
    let Ok(Some(len)) = head.parse(stream, &Limits::default()) else { return };
    let mut slots = [httparse::EMPTY_HEADER; 100];
    let mut theirs = httparse::Response::new(&mut slots);
    assert_eq!(theirs.parse(stream), Ok(httparse::Status::Complete(len)));
    assert_eq!(theirs.code, Some(head.status()));
    let fields = theirs.headers.iter().map(|header| (header.name.as_bytes().to_vec(), header.value.to_vec()));
    assert_eq!(pairs(head.fields(stream)), fields.collect::<Vec<_>>());
    if let Ok(framing) = head.framing(Asked::by(method)) {
        assert!(name(framing) != "close" || !head.keep_alive(framing));
    }
}
