//! A body being read.
//!
//! ```text
//!     piece ──► counted ──► kept, for an archive
//!                  ├──► its coding undone ──► measured ──► searched for links      a page: nothing of it stays
//!                  ├──► its coding undone ──► the beginning of a file              robots.txt, sitemaps
//!                  └──► dropped                                                    a redirect's
//! ```
//!
//! A page of any size takes as much memory as a piece of it, and what is large gives way between pieces.
//! Not here: finding links (`windlass_examples::links`).   Next: `fate`.

use std::time::SystemTime;

use windlass::http::{
    Error, ErrorKind, Limits, Url,
    decode::{Coding, Decoder},
    request::{Content, write_request},
};
use windlass_examples::links::Extractor;

use super::Crawl;
use crate::{
    cpu::Part,
    engine::{Answer, Engine},
    plan::Archive,
    warc::{Exchange, Whole},
};

impl<E: Engine> Crawl<E> {
    /// Takes a redirect's body in, so that its connection can stay.
    pub(super) async fn drain(&self, answer: &mut E::Answer, mut exchange: Option<&mut Exchange>) -> Result<(), Error> {
        let mut left = 64 * 1024_usize;
        while let Some(piece) = answer.chunk().await? {
            self.spend(piece.len());
            let rest = left.checked_sub(piece.len());
            if let Some(exchange) = &mut exchange {
                match rest {
                    Some(_) => exchange.body.extend_from_slice(piece),
                    None => exchange.is_whole = Whole::No,
                }
            }
            let Some(rest) = rest else { break };
            left = rest;
        }
        Ok(())
    }

    /// The beginning of what an archive has of a page, if one is wanted: all but the body.
    pub(super) fn capture(&self, url: &Url, at: SystemTime, answer: &E::Answer) -> Option<Box<Exchange>> {
        let (head, address) = match self.plan.manners.archive {
            Archive::Kept => answer.received()?,
            Archive::Left => return None,
        };
        let mut request = Vec::new();
        write_request(&mut request, "GET", url, self.plan.manners.headers.public(), Content::None)
            .expect("it was sent");
        let (url, body, is_whole) = (url.as_str().to_owned(), Vec::new(), Whole::Yes);
        Some(Box::new(Exchange { url, at, address, request, head, body, is_whole }))
    }

    /// The beginning of a file, as far as it counts.
    pub(super) async fn file_of(&self, answer: &mut E::Answer, max: usize) -> Result<Vec<u8>, Error> {
        let mut decoder = decoder_of(answer, u64::MAX)?;
        let mut file = Vec::new();
        while file.len() < max
            && let Some(piece) = answer.chunk().await?
        {
            self.spend(piece.len());
            match &mut decoder {
                Some(decoder) => unpack::<E>(decoder, piece, &mut file, max).await?,
                None => file.extend_from_slice(piece),
            }
        }
        if let (Some(decoder), true) = (&decoder, file.len() < max) {
            decoder.finish()?; // rules that are cut off may be those that forbid
        }
        file.truncate(max);
        Ok(file)
    }

    /// Bytes have come, whatever becomes of what they are of.
    pub(super) fn spend(&self, wire: usize) {
        let mut state = self.state.borrow_mut();
        state.tally.bytes_wire += wire as u64;
        let is_spent = self.plan.budget.bytes.is_some_and(|max| state.tally.bytes_wire >= max) && !state.stopping;
        drop(state);
        if is_spent {
            self.stop();
        }
    }
}

/// To undo so little may cost as much as a whole piece does: a body can be thousands of gzip's members, with nothing in them.
const CRUMB: usize = 1024;

/// A body on its way through its coding and into its links.
pub(super) struct Taken {
    decoder: Option<Decoder>,
    pub(super) links: Option<Extractor>,
    pub(super) wire: u64,
    pub(super) decoded: u64,
    max_size: u64,
}

impl Taken {
    pub(super) fn new(answer: &impl Answer, links: Option<Extractor>, max_size: u64) -> Result<Self, Error> {
        let decoder = decoder_of(answer, max_size)?;
        Ok(Self { decoder, links, wire: 0, decoded: 0, max_size })
    }

    pub(super) async fn take<E: Engine>(&mut self, mut piece: &[u8], parse: &Part) -> Result<(), Error> {
        if self.decoder.is_none() {
            return self.look::<E>(piece, parse).await;
        }
        while let Some(decoder) = &mut self.decoder {
            let step = parse.time(|| decoder.decode(piece))?;
            piece = &piece[step.consumed..];
            if step.data.is_empty() && piece.is_empty() {
                break; // what has come may be taken long before all of it is undone
            }
            let data = step.data.to_vec();
            self.look::<E>(&data, parse).await?;
            if self.links.is_none() || data.len() < CRUMB {
                E::yield_now().await;
            }
        }
        Ok(())
    }

    async fn look<E: Engine>(&mut self, bytes: &[u8], parse: &Part) -> Result<(), Error> {
        self.decoded += bytes.len() as u64;
        if self.decoded > self.max_size {
            return Err(Error::new(ErrorKind::TooLarge, "body: larger than the limit"));
        }
        let Some(links) = &mut self.links else { return Ok(()) };
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = parse.time(|| links.feed(rest));
            if !rest.is_empty() {
                E::yield_now().await; // a large page holds nobody else up
            }
        }
        Ok(())
    }

    pub(super) fn finish(&self) -> Result<(), Error> {
        self.decoder.as_ref().map_or(Ok(()), Decoder::finish)
    }
}

/// Adds what is packed to a file, as far as it counts; a piece at a time.
pub(super) async fn unpack<E: Engine>(
    decoder: &mut Decoder,
    mut packed: &[u8],
    file: &mut Vec<u8>,
    max: usize,
) -> Result<(), Error> {
    while file.len() < max {
        let step = decoder.decode(packed)?;
        packed = &packed[step.consumed..];
        if step.data.is_empty() && packed.is_empty() {
            break;
        }
        file.extend_from_slice(step.data);
        E::yield_now().await;
    }
    Ok(())
}

/// What undoes the coding of a body, if it has one.
fn decoder_of(answer: &impl Answer, max_size: u64) -> Result<Option<Decoder>, Error> {
    let lines = answer.headers("content-encoding").flat_map(|line| line.split(|byte| *byte == b','));
    let mut codings =
        lines.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"));
    let coding = match (codings.next(), codings.next()) {
        (None, _) => None,
        (Some(name), None) => {
            Some(Coding::named(name).ok_or_else(|| Error::new(ErrorKind::Protocol, "content coding: unknown"))?)
        }
        (Some(_), Some(_)) => return Err(Error::new(ErrorKind::Protocol, "content coding: more than one")),
    };
    let mut limits = Limits::default();
    limits.body_max = max_size;
    coding.map(|coding| Decoder::new(coding, &limits)).transpose()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::{Compression, read::GzEncoder};
    use windlass::http::decode::Coding;

    use super::{super::turn::tests::turns_of_others, *};
    use crate::engine::on_windlass::OnWindlass;

    #[test]
    fn a_body_of_which_hardly_anything_comes_holds_nobody_up() {
        const MEMBERS: usize = 3_000;
        let url = Url::parse("http://a/").unwrap();
        for (text, links) in [("", None), ("", Some(Extractor::new(&url))), ("x", Some(Extractor::new(&url)))] {
            let mut member = Vec::new();
            GzEncoder::new(text.as_bytes(), Compression::fast()).read_to_end(&mut member).unwrap();
            let decoder = Some(Decoder::new(Coding::Gzip, &Limits::default()).unwrap());
            let mut taken = Taken { decoder, links, wire: 0, decoded: 0, max_size: MEMBERS as u64 };
            let packed = member.repeat(MEMBERS);
            let others = turns_of_others(async { taken.take::<OnWindlass>(&packed, &Part::default()).await.unwrap() });
            assert!(others >= MEMBERS - 1, "{others}");
            assert!(taken.finish().is_ok() && taken.decoded == (text.len() * MEMBERS) as u64);
        }
    }
}
