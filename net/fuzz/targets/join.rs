//! A reference leads where RFC 3986 says, or nowhere; and from where it leads to it leads nowhere else.

#![no_main]

use libfuzzer_sys::fuzz_target;
use windlass_corpus::by_the_letter;
use windlass_net::http::Url;

// A page on a line of its own, and behind it what is written there.
fuzz_target!(|input: &[u8]| {
    let Some((base, reference)) = str::from_utf8(input).ok().and_then(|text| text.split_once('\n')) else { return };
    let Ok(base) = Url::parse(base) else { return };
    let joined = base.join(reference).ok();
    let said = by_the_letter::join(base.as_str(), reference).and_then(|text| Url::parse(&text).ok());
    assert_eq!(joined.as_ref().map(whole), said.as_ref().map(whole));
    let Some(url) = joined else { return };
    assert_eq!(Url::parse(&whole(&url)).ok().as_ref().map(whole), Some(whole(&url)), "it is a URL as it stands");
    // An absolute URL leads to the same place from everywhere. Dots that the page itself had are gone after that.
    let absolute = base.join(&whole(&url)).expect("a URL leads somewhere");
    assert_eq!(absolute.origin(), url.origin());
    for page in [&base, &url, &absolute] {
        assert_eq!(page.join(&whole(&absolute)).ok().as_ref().map(whole), Some(whole(&absolute)));
    }
});

/// With its fragment.
fn whole(url: &Url) -> String {
    url.fragment().map_or_else(|| url.to_string(), |fragment| format!("{url}#{fragment}"))
}
