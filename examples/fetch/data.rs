//! The data of a form, as -d and its sisters say it.
//!
//! ```text
//!     -d a=b  -d @file  --data-urlencode 'c=d e'   ──►   a=b&…&c=d+e
//! ```
//!
//! They stand in the order of the command line, whatever their kind.
//! Not here: the head that announces it (`asked`).   Next: `asked`.

use std::{fs, io, io::Read};

use crate::{
    failure::{Code, Failure},
    flags::{Flags, Kind},
};

/// All of it; none if no flag asks for any.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn gather(flags: &Flags) -> Result<Option<Vec<u8>>, Failure> {
    let mut parts = Vec::new();
    for (kind, text) in &flags.data.0 {
        parts.push(match (kind, text.strip_prefix('@')) {
            (Kind::Encoded, _) => encoded_part_of(text)?,
            (Kind::Plain, Some(path)) => read_in_one_line(path)?,
            (Kind::Binary, Some(path)) => read(path)?,
            _ => text.as_bytes().to_vec(),
        });
    }
    Ok((!parts.is_empty()).then(|| parts.join(&b'&')))
}

/// What a file holds, without its line ends.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read_in_one_line(path: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = read(path)?;
    bytes.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
    Ok(bytes)
}

/// What a file holds; `-` is stdin.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read(path: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path == "-" { io::stdin().read_to_end(&mut bytes).map(|_| bytes) } else { fs::read(path) };
    read.map_err(|error| Failure::new(Code::Read, format!("read {path}: {error}")))
}

fn encoded_part_of(text: &str) -> Result<Vec<u8>, Failure> {
    let at = text.find(['=', '@']);
    let (name, value) = match at {
        None => ("", text.as_bytes().to_vec()),
        Some(at) if text[at..].starts_with('=') => (&text[..at], text.as_bytes()[at + 1..].to_vec()),
        Some(at) => (&text[..at], read(&text[at + 1..])?),
    };
    let encoded = url_encoded(&value);
    Ok(if name.is_empty() { encoded.into_bytes() } else { format!("{name}={encoded}").into_bytes() })
}

/// As a form has it: what is not a letter, a digit or `-._~` by its number, and a space as `+`.
fn url_encoded(bytes: &[u8]) -> String {
    let encode = |&byte: &u8| match byte {
        b' ' => "+".to_owned(),
        _ if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    bytes.iter().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn gathered(arguments: &[&str]) -> Result<Option<String>, u8> {
        let flags = Flags::try_parse_from(["fetch", "u"].iter().chain(arguments)).unwrap();
        let data = gather(&flags).map_err(|failure| failure.code as u8)?;
        Ok(data.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    #[test]
    fn parts_are_joined_by_ampersands() {
        assert_eq!(gathered(&[]), Ok(None));
        assert_eq!(gathered(&["-d", ""]), Ok(Some(String::new())));
        assert_eq!(gathered(&["-d", "a=b", "-d", "c"]), Ok(Some("a=b&c".to_owned())));
        assert_eq!(gathered(&["--data-raw", "@x"]), Ok(Some("@x".to_owned())));
    }

    #[test]
    fn what_is_to_be_encoded_may_have_a_name() {
        let encoded = |text| gathered(&["--data-urlencode", text]).unwrap().unwrap();
        let told = ["a=b c", "x y", "=&", "n=~._-/ü"].map(encoded);
        assert_eq!(told, ["a=b+c", "x+y", "%26", "n=~._-%2F%C3%BC"]);
    }

    #[test]
    fn a_file_that_is_not_there_is_a_failure() {
        for flag in ["-d", "--data-binary", "--data-urlencode"] {
            assert_eq!(gathered(&[flag, "@/nonexistent/file"]), Err(26));
        }
    }
}
