//! A URL that is accepted is its own normal form, goes into a request as it is, and can smuggle nothing into it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use windlass_net::http::request::{Content, NO_HEADERS, RequestHead, write_request};
use windlass_net::http::{Limits, Url};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(url) = Url::parse(text) else { return };
    check(&url);
});

fn check(url: &Url) {
    let again = Url::parse(url.as_str()).expect("a normal form is a URL");
    assert!(again == *url && again.as_str() == url.as_str());
    assert!(url.as_str().bytes().all(|byte| byte.is_ascii_graphic()) && url.target().starts_with('/'));
    assert!(!url.host_header().contains(['@', '/', '\\', '?', '#', '%']));
    let mut out = Vec::new();
    write_request(&mut out, "GET", url, NO_HEADERS, Content::None).expect("what is parsed can be written");
    let mut head = RequestHead::new();
    let limits = Limits::default();
    match head.parse(&out, &limits) {
        Ok(len) => {
            assert_eq!(len, Some(out.len()), "one request and no more");
            assert_eq!(head.target(&out), url.target().as_bytes());
            assert_eq!(head.fields(&out).get("host"), Some(url.host_header().as_bytes()));
            assert_eq!(head.fields(&out).iter().count(), 3);
        }
        Err(_) => assert!(url.target().len() + 13 > limits.status_line_max, "only a server's limits refuse it"),
    }
}
