//! Writes the corpus where each target looks for what to begin with.
//!
//! `seeds DIR` makes `DIR/reply`, `DIR/url` and so on. Streams get two bytes in front, as `pieces` wants them.

use std::path::Path;
use std::{env, fs, io};

/// A longer one would slow the search down and show nothing new.
const SEED_MAX: usize = 2_000;

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).expect("usage: seeds DIR");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder)?;
        if bytes.len() > SEED_MAX { Ok(()) } else { fs::write(folder.join(name), bytes) }
    };
    for reply in windlass_corpus::replies() {
        let method = u8::from(reply.method == "HEAD");
        let input = [&[method, 7], &reply.stream[..]].concat();
        write("reply", &reply.name, &input)?;
        write("exchange", &reply.name, &input)?;
        let end_of_head = reply.stream.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(at) = end_of_head {
            write("chunked", &reply.name, &[&[7], &reply.stream[at + 4..]].concat())?;
        }
    }
    for request in windlass_corpus::requests() {
        write("request", &request.name, &[&[7], &request.stream[..]].concat())?;
    }
    for url in windlass_corpus::urls() {
        write("url", &url.name, url.text.as_bytes())?;
    }
    for join in windlass_corpus::joins() {
        write("join", &join.name, format!("{}\n{}", join.base, join.reference).as_bytes())?;
    }
    Ok(())
}
