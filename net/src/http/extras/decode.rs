//! What a body is when its content coding is undone: gzip, deflate, br, zstd.
//!
//! ```text
//!   pieces as they came ──► Decoder ──► pieces of at most 32 KiB     ≤ body_max in all
//!                              │                                     ≤ ratio_max times what came, beyond 1 MiB
//!                              └── finish: the coding has ended, or the body is cut short
//! ```
//!
//! Ten gigabytes of zeros take ten kilobytes in the right coding, and whoever undoes it pays for all of them. So it is undone
//! piece by piece, as somebody asks for pieces; each piece is judged before the next is made; and a piece is small, so that
//! a large body cannot hold up the loop.
//!
//! What is taken, and what is not:
//!
//! | | | RFC |
//! |---|---|---|
//! | gzip | any number of members, one behind the other, are one body; anything else behind one is refused | 1952 2.2 |
//! | deflate | with zlib's head, as it should be, or without, as it often is | 9110 8.4.1.2 |
//! | br | windows of up to 16 MiB, none of the large ones that it knows beside | 7932 9.1 |
//! | zstd | any number of frames are one body; windows of up to 8 MiB | 8878 3.1, 9659 3 |
//! | two codings, one over the other | refused: nobody sends them but to multiply what they blow up to | 9110 8.4 |
//! | a coding that is not among these | left as it came, for the caller, who sees `Content-Encoding` | |
//! | a body that ends before its coding does | cut short, never a body; but an empty one is empty in any coding | |
//! | part of a body (206) | left as it came: it is a part of what is coded | 9110 14.4 |
//!
//! Beside its window, which is taken when the coding asks for it, a decoder keeps about 64 KiB.
//! Not here: who asks for it (`client`), and the header that says so.   Next: `follow`.

use std::ops::Range;
use std::task::{Context, Poll, ready};

use windlass_executor::budget::poll_proceed;

use crate::http::wire::head::Fields;
use crate::http::{ClientBuilder, Error, ErrorKind, Limits, Request, Response};

/// What one step makes at most. Inflated at some 500 MB/s that is less than 100 µs.
const PIECE_MAX: usize = 32 * 1024;
/// What a piece costs of a task's budget: as much as so many reads, which take about as long.
const PIECE_COST: usize = 8;
/// Up to so much the ratio is not looked at: short and repetitive pages exist, and a megabyte hurts nobody.
const RATIO_FREE: u64 = 1024 * 1024;
/// zlib's largest window, as its exponent (RFC 1950 2.2); deflate can use no other.
#[cfg(feature = "gzip")]
const DEFLATE_WINDOW_BITS: u8 = 15;
/// RFC 9659 3: decoders for HTTP need no window larger than 8 MiB.
#[cfg(feature = "zstd")]
const ZSTD_WINDOW_BITS: u32 = 23;

/// A content coding that can be undone. Those of features that are off are not there.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::decode::Coding;
/// assert_eq!(Coding::named(b"X-GZIP"), Some(Coding::Gzip));
/// assert_eq!(Coding::named(b"compress"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Coding {
    /// `gzip`, and `x-gzip`, which is the same (RFC 9110 8.4.1.3).
    #[cfg(feature = "gzip")]
    Gzip,
    /// `deflate`: deflate within zlib's format, or bare.
    #[cfg(feature = "deflate")]
    Deflate,
    /// `br`: Brotli.
    #[cfg(feature = "br")]
    Br,
    /// `zstd`: Zstandard.
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Coding {
    /// All there are, in the order in which a client names them.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::decode::Coding;
    /// assert!(Coding::ALL.contains(&Coding::Gzip));
    /// ```
    pub const ALL: &[Coding] = &[
        #[cfg(feature = "gzip")]
        Coding::Gzip,
        #[cfg(feature = "deflate")]
        Coding::Deflate,
        #[cfg(feature = "br")]
        Coding::Br,
        #[cfg(feature = "zstd")]
        Coding::Zstd,
    ];

    /// The coding of this name, in any case.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::decode::Coding;
    /// assert!(Coding::ALL.iter().all(|coding| Coding::named(coding.name().as_bytes()) == Some(*coding)));
    /// ```
    pub fn named(name: &[u8]) -> Option<Coding> {
        let name = if name.eq_ignore_ascii_case(b"x-gzip") { b"gzip" } else { name };
        Coding::ALL.iter().find(|coding| name.eq_ignore_ascii_case(coding.name().as_bytes())).copied()
    }

    /// Its name in `Accept-Encoding`.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// assert_eq!(windlass::http::decode::Coding::Gzip.name(), "gzip");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "gzip")]
            Coding::Gzip => "gzip",
            #[cfg(feature = "deflate")]
            Coding::Deflate => "deflate",
            #[cfg(feature = "br")]
            Coding::Br => "br",
            #[cfg(feature = "zstd")]
            Coding::Zstd => "zstd",
        }
    }

    /// The coding that `headers` announce; none if there is none, or one that is not among ours.
    ///
    /// # Errors
    /// [`Protocol`](ErrorKind::Protocol) if there is more than one.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, decode::Coding, head::ResponseHead};
    /// let buf = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
    /// let mut head = ResponseHead::new();
    /// head.parse(buf, &Limits::default())?;
    /// assert_eq!(Coding::of(head.fields(buf))?, Some(Coding::Gzip));
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn of(headers: Fields<'_>) -> Result<Option<Coding>, Error> {
        let named = headers.get_all("content-encoding").flat_map(|line| line.split(|&b| b == b','));
        let named = named.map(<[u8]>::trim_ascii);
        let mut codings = named.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"));
        match (codings.next(), codings.next()) {
            (Some(_), Some(_)) => Err(Error::new(ErrorKind::Protocol, "body: more than one content coding")),
            (coding, _) => Ok(coding.and_then(Coding::named)),
        }
    }
}

/// Undoes one coding of one body: bytes in, pieces out.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::Limits;
/// use windlass::http::decode::{Coding, Decoder};
/// let coded = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 7, 0, 0x86, 0xa6, 0x10, 0x36, 5, 0, 0, 0];
/// let mut decoder = Decoder::new(Coding::Gzip, &Limits::default())?;
/// let mut body = Vec::new();
/// for piece in coded.chunks(7) {
///     decoder.decode_all(piece, |decoded| body.extend_from_slice(decoded))?;
/// }
/// decoder.finish()?;
/// assert_eq!(body, b"hello");
/// assert_eq!((decoder.bytes_in(), decoder.bytes_out()), (25, 5));
/// # Ok::<(), windlass_net::http::Error>(())
/// ```
pub struct Decoder {
    coding: Coding,
    undo: Undo,
    /// Bytes of the coding have come, and it has not ended since.
    is_within: bool,
    bytes_in: u64,
    bytes_out: u64,
    body_max: u64,
    ratio_max: u64,
    /// The latest piece.
    piece: Vec<u8>,
}

/// What [`Decoder::decode`] made of its input.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::http::{Limits, decode::{Coding, Decoder}};
/// let mut decoder = Decoder::new(Coding::Gzip, &Limits::default())?;
/// let step = decoder.decode(b"\x1f\x8b")?;
/// assert_eq!((step.consumed, step.data), (2, &b""[..]));
/// # Ok::<(), windlass_net::http::Error>(())
/// ```
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step<'a> {
    /// How many bytes of the input are done with.
    pub consumed: usize,
    /// What came out.
    pub data: &'a [u8],
}

/// The body of an answer, on its way from the connection through a decoder to the caller.
pub(crate) struct Decoding {
    decoder: Decoder,
    /// Where in the connection's bytes lies what has come and is not decoded.
    coded: Range<usize>,
    /// How long the latest piece is.
    len: usize,
}

impl Decoding {
    /// For an answer with these headers; none if its body is as it came.
    pub(crate) fn of(headers: Fields<'_>, limits: &Limits) -> Result<Option<Decoding>, Error> {
        let Some(coding) = Coding::of(headers)? else { return Ok(None) };
        Ok(Some(Decoding { decoder: Decoder::new(coding, limits)?, coded: 0..0, len: 0 }))
    }

    pub(crate) fn piece(&self) -> &[u8] {
        &self.decoder.piece[..self.len]
    }
}

impl ClientBuilder {
    /// Asks for bodies in the codings there are features for, and undoes them: `Accept-Encoding` goes out with every request
    /// that has none, nor a `Range`, and [`chunk`](Response::chunk) and what stands on it give the body as it was before it was
    /// coded. The headers stay as they came: `Content-Length` is that of the coding. See [`decode`](crate::http::decode).
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Client;
    /// let client = Client::builder().decode().build();
    /// # drop(client);
    /// ```
    pub fn decode(mut self) -> Self {
        self.extras().decodes = true;
        self
    }
}

impl Request<'_> {
    /// Leaves the body as it comes, whatever the client does with others.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let response = client.get(url).as_it_comes().send().await?;
    /// assert_eq!(response.decoded(), None);
    /// # Ok(()) });
    /// ```
    pub fn as_it_comes(mut self) -> Self {
        self.extras().decodes = false;
        self
    }
}

impl Response {
    /// How many bytes of the body have been undone so far, and how many have come of them; none if it has no coding that is
    /// undone.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Client, Reply, Server, Url};
    /// # windlass_reactor::doc_real(async {
    /// # let server = Server::bind("127.0.0.1:0".parse().unwrap())?;
    /// # let url = Url::parse(&format!("http://{}/", server.local_addr()?)).unwrap();
    /// let coded = [0x78, 0x9c, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 7, 0, 6, 0x2c, 2, 0x15];
    /// windlass::spawn(server.run(move |_| Reply::bytes(200, coded.to_vec()).header("Content-Encoding", "deflate")));
    /// let client = Client::builder().decode().build();
    /// let mut response = client.get(&url).send().await.unwrap();
    /// while response.chunk().await.unwrap().is_some() {}
    /// assert_eq!(response.decoded(), Some((13, 5)));
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn decoded(&self) -> Option<(u64, u64)> {
        let decoder = &self.decoding()?.decoder;
        Some((decoder.bytes_in(), decoder.bytes_out()))
    }

    pub(crate) fn decoding(&self) -> Option<&Decoding> {
        self.beyond.as_ref()?.decoding.as_ref()
    }

    /// Makes the next piece of the body, which has a coding that is undone; false at its end.
    pub(crate) fn poll_decoded(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        loop {
            for _ in 0..PIECE_COST {
                ready!(poll_proceed(cx));
            }
            let beyond = self.beyond.as_mut().expect("only who decodes comes here");
            let Decoding { decoder, coded, len } = beyond.decoding.as_mut().expect("only who decodes comes here");
            let connection = self.slot.connection();
            let step = decoder.decode(&connection.bytes[coded.clone()]).map(|step| (step.consumed, step.data.len()));
            let (consumed, made) = step.map_err(|error| connection.explain(error))?;
            (coded.start, *len) = (coded.start + consumed, made);
            if made > 0 {
                return Poll::Ready(Ok(true));
            }
            if coded.start < coded.end {
                continue;
            }
            *coded = 0..0; // the connection forgets those bytes, also where it has to wait for the next
            let piece = ready!(self.poll_piece(cx))?;
            let Decoding { decoder, coded, .. } =
                self.beyond.as_mut().and_then(|beyond| beyond.decoding.as_mut()).expect("only who decodes comes here");
            let Some(piece) = piece else {
                let ended = decoder.finish();
                return Poll::Ready(ended.map(|()| false).map_err(|error| self.connection().explain(error)));
            };
            *coded = piece;
        }
    }
}

enum Undo {
    /// gzip, or zlib's format.
    #[cfg(any(feature = "gzip", feature = "deflate"))]
    Inflate(flate2::Decompress),
    /// The first byte, until the second tells what it is.
    #[cfg(feature = "deflate")]
    Deflate(Option<u8>),
    #[cfg(feature = "br")]
    Br(Box<Brotli>),
    #[cfg(feature = "zstd")]
    Zstd(zstd::stream::raw::Decoder<'static>),
    /// It has ended, and nothing may follow.
    #[cfg(any(feature = "deflate", feature = "br"))]
    Ended,
}

#[cfg(feature = "br")]
type Brotli = brotli_decompressor::BrotliState<
    brotli_decompressor::StandardAlloc,
    brotli_decompressor::StandardAlloc,
    brotli_decompressor::StandardAlloc,
>;

/// What came of one call of a library.
struct Made {
    consumed: usize,
    produced: usize,
    ended: bool,
}

impl Decoder {
    /// A decoder that makes at most [`Limits::body_max`] bytes, and at most [`Limits::ratio_max`] times what it is given.
    ///
    /// # Errors
    /// Of kind [`Other`](ErrorKind::Other), if there is no memory for one.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, decode::{Coding, Decoder}};
    /// let mut decoder = Decoder::new(Coding::Gzip, &Limits::default())?;
    /// assert!(decoder.decode(b"no gzip").is_err());
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn new(coding: Coding, limits: &Limits) -> Result<Decoder, Error> {
        Ok(Decoder {
            coding,
            undo: Undo::new(coding)?,
            is_within: false,
            bytes_in: 0,
            bytes_out: 0,
            body_max: limits.body_max,
            ratio_max: limits.ratio_max,
            piece: Vec::new(),
        })
    }

    /// Undoes what it can of `input`, up to one piece, or to the end of a member or frame. As long as data comes of it there may
    /// be more: it is to be called again with the rest of the input, also when none is left. When none comes and nothing is
    /// left, it waits for more.
    ///
    /// # Errors
    /// [`Protocol`](ErrorKind::Protocol) if the input is not in this coding, or goes on behind its end;
    /// [`TooLarge`](ErrorKind::TooLarge) if a limit is passed. After an error, it makes no sense to go on.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, decode::{Coding, Decoder}};
    /// let mut decoder = Decoder::new(Coding::Deflate, &Limits::default())?;
    /// let coded = [0x78, 0x9c, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 7, 0, 6, 0x2c, 2, 0x15];
    /// assert_eq!(decoder.decode(&coded)?.data, b"hello");
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn decode(&mut self, input: &[u8]) -> Result<Step<'_>, Error> {
        self.piece.resize(PIECE_MAX, 0);
        let mut consumed = 0;
        let mut produced = 0;
        // Heads and sums are read before anything comes of them, and members may be empty.
        while produced == 0 && (consumed < input.len() || (consumed == 0 && self.is_within)) {
            let rest = &input[consumed..];
            let made = self.advance(rest)?;
            self.is_within = !made.ended && (self.is_within || made.consumed > 0);
            (consumed, produced) = (consumed + made.consumed, made.produced);
            if made.consumed == 0 && made.produced == 0 && !made.ended {
                if !rest.is_empty() {
                    return Err(self.malformed()); // whatever it waits for, it is not more of the same
                }
                break;
            }
            if made.ended {
                break; // for each member a decoder is made, and thousands of empty ones fit into one read
            }
        }
        self.bytes_in += consumed as u64;
        self.bytes_out += produced as u64;
        self.judge()?;
        Ok(Step { consumed, data: &self.piece[..produced] })
    }

    /// Undoes all of `input`, and hands each piece to `take`.
    ///
    /// # Errors
    /// As [`decode`](Decoder::decode).
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, decode::{Coding, Decoder}};
    /// let coded = [0x78, 0x9c, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 7, 0, 6, 0x2c, 2, 0x15];
    /// let mut len = 0;
    /// Decoder::new(Coding::Deflate, &Limits::default())?.decode_all(&coded, |piece| len += piece.len())?;
    /// assert_eq!(len, 5);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn decode_all(&mut self, mut input: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), Error> {
        loop {
            let step = self.decode(input)?;
            input = &input[step.consumed..];
            match step.data {
                [] if input.is_empty() => return Ok(()),
                [] => {} // of an empty member
                data => take(data),
            }
        }
    }

    /// The input has ended.
    ///
    /// # Errors
    /// [`Truncated`](ErrorKind::Truncated) if the coding has not.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{ErrorKind, Limits, decode::{Coding, Decoder}};
    /// let mut decoder = Decoder::new(Coding::Gzip, &Limits::default())?;
    /// decoder.finish()?; // an empty body is one
    /// decoder.decode(b"\x1f")?;
    /// assert_eq!(decoder.finish().unwrap_err().kind(), ErrorKind::Truncated);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn finish(&self) -> Result<(), Error> {
        if self.is_within {
            return Err(Error::new(
                ErrorKind::Truncated,
                format!("body: it ends before its {} does", self.coding.name()),
            ));
        }
        Ok(())
    }

    /// How many bytes of the coding it has undone.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, decode::{Coding, Decoder}};
    /// assert_eq!(Decoder::new(Coding::Gzip, &Limits::default())?.bytes_in(), 0);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// How many bytes it has made of them.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::{Limits, decode::{Coding, Decoder}};
    /// assert_eq!(Decoder::new(Coding::Gzip, &Limits::default())?.bytes_out(), 0);
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    fn judge(&self) -> Result<(), Error> {
        if self.bytes_out > self.body_max {
            let text = format!("body: more than {} bytes when its {} is undone", self.body_max, self.coding.name());
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        if self.bytes_out > RATIO_FREE && self.bytes_out / self.ratio_max.max(1) > self.bytes_in {
            let text =
                format!("body: its {} blows up to more than {} times its size", self.coding.name(), self.ratio_max);
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        Ok(())
    }

    /// One call of the library.
    fn advance(&mut self, input: &[u8]) -> Result<Made, Error> {
        let made = match &mut self.undo {
            #[cfg(any(feature = "gzip", feature = "deflate"))]
            Undo::Inflate(inflate) => step_inflate(inflate, input, &mut self.piece),
            #[cfg(feature = "deflate")]
            Undo::Deflate(first) => match (*first, input.first()) {
                (Some(first), Some(second)) => {
                    let mut inflate = flate2::Decompress::new(is_zlib_head(first, *second));
                    let made = step_inflate(&mut inflate, &[first], &mut self.piece);
                    self.undo = Undo::Inflate(inflate);
                    // That byte was consumed before, and nothing comes of one alone: the next call goes on.
                    return match made {
                        Some(_) => self.advance(input),
                        None => Err(self.malformed()),
                    };
                }
                (None, Some(byte)) => {
                    *first = Some(*byte);
                    Some(Made { consumed: 1, produced: 0, ended: false })
                }
                (_, None) => Some(Made { consumed: 0, produced: 0, ended: false }),
            },
            #[cfg(feature = "br")]
            Undo::Br(brotli) => step_brotli(brotli, input, &mut self.piece),
            #[cfg(feature = "zstd")]
            Undo::Zstd(zstd) => step_zstd(zstd, input, &mut self.piece),
            #[cfg(any(feature = "deflate", feature = "br"))]
            Undo::Ended => {
                let text = format!("body: it goes on behind the end of its {}", self.coding.name());
                return Err(Error::new(ErrorKind::Protocol, text));
            }
        };
        let made = made.ok_or_else(|| self.malformed())?;
        if made.ended {
            self.undo.end(self.coding);
        }
        Ok(made)
    }

    #[cold]
    fn malformed(&self) -> Error {
        Error::new(ErrorKind::Protocol, format!("body: it is not {}, as its head says", self.coding.name()))
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("coding", &self.coding)
            .field("bytes_in", &self.bytes_in)
            .finish_non_exhaustive()
    }
}

impl Undo {
    fn new(coding: Coding) -> Result<Undo, Error> {
        Ok(match coding {
            #[cfg(feature = "gzip")]
            Coding::Gzip => Undo::Inflate(flate2::Decompress::new_gzip(DEFLATE_WINDOW_BITS)),
            #[cfg(feature = "deflate")]
            Coding::Deflate => Undo::Deflate(None),
            #[cfg(feature = "br")]
            // Strict: its other mode lets the body ask for a window of a gigabyte.
            Coding::Br => Undo::Br(Box::new(Brotli::new_strict(<_>::default(), <_>::default(), <_>::default()))),
            #[cfg(feature = "zstd")]
            Coding::Zstd => {
                use zstd::stream::raw::{DParameter, Decoder};
                let made = Decoder::new().and_then(|mut decoder| {
                    decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_BITS))?;
                    Ok(decoder)
                });
                Undo::Zstd(made.map_err(|error| Error::io(ErrorKind::Other, "body: no decoder for zstd", error))?)
            }
        })
    }

    /// What may follow the end of this coding.
    fn end(&mut self, coding: Coding) {
        match coding {
            #[cfg(feature = "gzip")]
            Coding::Gzip => *self = Undo::Inflate(flate2::Decompress::new_gzip(DEFLATE_WINDOW_BITS)),
            #[cfg(feature = "deflate")]
            Coding::Deflate => *self = Undo::Ended,
            #[cfg(feature = "br")]
            Coding::Br => *self = Undo::Ended,
            #[cfg(feature = "zstd")]
            Coding::Zstd => {} // it begins the next frame by itself
        }
    }
}

/// RFC 1950 2.2: method 8, a window of at most 32 KiB, no dictionary, and a check of both bytes. Bare deflate does not begin
/// so: it would be a stored block whose padding is not zero, which no encoder writes.
#[cfg(feature = "deflate")]
fn is_zlib_head(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && second & 0x20 == 0 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}

#[cfg(any(feature = "gzip", feature = "deflate"))]
fn step_inflate(inflate: &mut flate2::Decompress, input: &[u8], piece: &mut [u8]) -> Option<Made> {
    let (bytes_in, bytes_out) = (inflate.total_in(), inflate.total_out());
    let status = inflate.decompress(input, piece, flate2::FlushDecompress::None).ok()?;
    let ended = match status {
        flate2::Status::StreamEnd => true,
        flate2::Status::Ok | flate2::Status::BufError => false,
    };
    let consumed = (inflate.total_in() - bytes_in) as usize; // no more than the slice has
    Some(Made { consumed, produced: (inflate.total_out() - bytes_out) as usize, ended })
}

#[cfg(feature = "br")]
fn step_brotli(brotli: &mut Brotli, input: &[u8], piece: &mut [u8]) -> Option<Made> {
    use brotli_decompressor::{BrotliDecompressStream, BrotliResult};
    let (mut available_in, mut consumed) = (input.len(), 0);
    let (mut available_out, mut produced, mut total) = (piece.len(), 0, 0);
    let result = BrotliDecompressStream(
        &mut available_in,
        &mut consumed,
        input,
        &mut available_out,
        &mut produced,
        piece,
        &mut total,
        brotli,
    );
    match result {
        BrotliResult::ResultFailure => None,
        result => Some(Made { consumed, produced, ended: matches!(result, BrotliResult::ResultSuccess) }),
    }
}

#[cfg(feature = "zstd")]
fn step_zstd(zstd: &mut zstd::stream::raw::Decoder<'static>, input: &[u8], piece: &mut [u8]) -> Option<Made> {
    use zstd::stream::raw::Operation;
    let status = zstd.run_on_buffers(input, piece).ok()?;
    Some(Made { consumed: status.bytes_read, produced: status.bytes_written, ended: status.remaining == 0 })
}

#[cfg(test)]
#[cfg(feature = "decode")]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;
    use crate::http::head::ResponseHead;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn bare_deflate(body: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn br(body: &[u8]) -> Vec<u8> {
        let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
        encoder.write_all(body).unwrap();
        encoder.into_inner()
    }

    fn zstd_of(body: &[u8]) -> Vec<u8> {
        zstd::encode_all(body, 3).unwrap()
    }

    #[test]
    fn a_step_undoes_one_member_of_those_that_are_empty() {
        for (coding, empty) in [(Coding::Gzip, gzip(b"")), (Coding::Zstd, zstd_of(b""))] {
            let coded = empty.repeat(1_000);
            let step = Decoder::new(coding, &Limits::default()).unwrap().decode(&coded).map(|step| step.consumed);
            assert_eq!(step.unwrap(), empty.len(), "{coding:?}: the loop has its turn in between");
            assert_eq!(kind_of(coding, &coded), Ok(Vec::new()));
        }
    }

    type Encode = fn(&[u8]) -> Vec<u8>;

    const ALL: [(Coding, Encode); 5] = [
        (Coding::Gzip, gzip),
        (Coding::Deflate, zlib),
        (Coding::Deflate, bare_deflate),
        (Coding::Br, br),
        (Coding::Zstd, zstd_of),
    ];

    /// What comes of `coded`, fed in `pieces` of this length.
    fn decoded(coding: Coding, coded: &[u8], pieces: usize, limits: &Limits) -> Result<Vec<u8>, Error> {
        let mut decoder = Decoder::new(coding, limits)?;
        let mut body = Vec::new();
        for piece in coded.chunks(pieces) {
            decoder.decode_all(piece, |data| body.extend_from_slice(data))?;
        }
        decoder.finish()?;
        assert_eq!((decoder.bytes_in(), decoder.bytes_out()), (coded.len() as u64, body.len() as u64));
        Ok(body)
    }

    fn kind_of(coding: Coding, coded: &[u8]) -> Result<Vec<u8>, ErrorKind> {
        let whole = decoded(coding, coded, usize::MAX, &Limits::default()).map_err(|error| error.kind());
        let bytes = decoded(coding, coded, 1, &Limits::default()).map_err(|error| error.kind());
        assert_eq!(whole, bytes, "{coding:?}: whole, and byte by byte");
        whole
    }

    /// Text that repeats itself now and then.
    fn text(len: usize) -> Vec<u8> {
        (0_u32..).flat_map(|n| format!("{} ", n.wrapping_mul(2_654_435_761) % 9_973).into_bytes()).take(len).collect()
    }

    #[test]
    fn a_body_comes_out_as_it_went_in_however_it_is_cut() {
        for (coding, encode) in ALL {
            for len in [0, 1, 100, PIECE_MAX, PIECE_MAX + 1, 70_000] {
                let body = text(len);
                let coded = encode(&body);
                for pieces in [1, 3, 4096, usize::MAX] {
                    let out = decoded(coding, &coded, pieces, &Limits::default());
                    assert!(out.is_ok_and(|out| out == body), "{coding:?}: {len} bytes in pieces of {pieces}");
                }
            }
        }
    }

    #[test]
    fn a_body_that_ends_before_its_coding_does_is_cut_short_wherever_it_ends() {
        for (coding, encode) in ALL {
            let coded = encode(&text(500));
            for end in 1..coded.len() {
                assert_eq!(kind_of(coding, &coded[..end]), Err(ErrorKind::Truncated), "{coding:?}: at {end}");
            }
        }
    }

    #[test]
    fn an_empty_body_is_empty_in_any_coding() {
        for coding in Coding::ALL {
            assert_eq!(kind_of(*coding, b""), Ok(vec![]));
        }
    }

    #[test]
    fn a_sum_that_does_not_fit_is_no_body() {
        for (coding, encode) in [ALL[0], ALL[1]] {
            let mut coded = encode(&text(500));
            *coded.last_mut().unwrap() ^= 1; // the length of gzip, the sum of zlib
            assert_eq!(kind_of(coding, &coded), Err(ErrorKind::Protocol), "{coding:?}");
        }
        let mut coded = gzip(&text(500));
        let sum_at = coded.len() - 8;
        coded[sum_at] ^= 1;
        assert_eq!(kind_of(Coding::Gzip, &coded), Err(ErrorKind::Protocol));
    }

    #[test]
    fn what_is_no_such_coding_is_refused() {
        let page = b"<!doctype html><title>not coded at all</title>";
        for (coding, encode) in ALL {
            assert_eq!(kind_of(coding, page).map_err(|kind| kind == ErrorKind::Protocol), Err(true), "{coding:?}");
            let other = if coding == Coding::Gzip { zlib(page) } else { gzip(page) };
            assert_eq!(kind_of(coding, &other), Err(ErrorKind::Protocol), "{coding:?}");
            assert!(!encode(page).is_empty());
        }
    }

    #[test]
    fn gzip_may_have_many_members_and_zstd_many_frames() {
        for (coding, encode) in [(Coding::Gzip, gzip as Encode), (Coding::Zstd, zstd_of)] {
            let coded = [&b"one "[..], b"", b"two ", b"three"].map(encode).concat();
            assert_eq!(kind_of(coding, &coded), Ok(b"one two three".to_vec()), "{coding:?}");
        }
    }

    #[test]
    fn nothing_else_may_follow_the_end() {
        for (coding, encode) in ALL {
            for behind in [&b"garbage behind it"[..], b"\0\0\0\0\0\0\0\0", b"\r\n"] {
                let coded = [&encode(b"hello"), behind].concat();
                let kind = kind_of(coding, &coded).unwrap_err();
                // Two bytes may be the beginning of a head: then what is missing is the rest of it.
                assert!(matches!(kind, ErrorKind::Protocol | ErrorKind::Truncated), "{coding:?} {kind:?}");
                assert!(kind == ErrorKind::Protocol || behind.len() == 2, "{coding:?} {behind:?}");
            }
        }
        for coding in [Coding::Deflate, Coding::Br] {
            let encode = if coding == Coding::Br { br } else { zlib };
            assert_eq!(kind_of(coding, &[encode(b"a"), encode(b"b")].concat()), Err(ErrorKind::Protocol));
        }
    }

    #[test]
    fn every_byte_may_be_wrong_and_no_step_hangs_or_panics() {
        for (coding, encode) in ALL {
            let coded = encode(&text(200));
            for at in 0..coded.len() {
                for mask in [0x01, 0x80, 0xff] {
                    let mut wrong = coded.clone();
                    wrong[at] ^= mask;
                    let _either = decoded(coding, &wrong, 7, &Limits::default());
                }
            }
        }
    }

    #[test]
    fn what_is_too_large_when_undone_is_refused_at_the_limit() {
        let limits = Limits { body_max: 100_000, ..Limits::default() };
        for (coding, encode) in ALL {
            let fits = decoded(coding, &encode(&text(100_000)), 4096, &limits);
            assert_eq!(fits.map(|body| body.len()).map_err(|error| error.kind()), Ok(100_000), "{coding:?}");
            let error = decoded(coding, &encode(&text(100_001)), 4096, &limits).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooLarge, "{coding:?}: {error}");
        }
    }

    #[test]
    fn what_blows_up_more_than_a_hundred_times_is_refused_once_it_is_more_than_a_megabyte() {
        let limits = Limits { body_max: u64::MAX, ..Limits::default() };
        for (coding, encode) in ALL {
            let zeros = vec![0; RATIO_FREE as usize + 1];
            let small = decoded(coding, &encode(&zeros[1..]), 4096, &limits);
            assert!(small.is_ok(), "{coding:?}");
            let error = decoded(coding, &encode(&zeros), 4096, &limits).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooLarge, "{coding:?}");
            assert!(error.to_string().contains("more than 100 times"), "{error}");
            let any = Limits { ratio_max: u64::MAX, ..limits.clone() };
            assert!(decoded(coding, &encode(&zeros), 4096, &any).is_ok(), "{coding:?}");
        }
    }

    #[test]
    fn a_step_makes_no_more_than_a_piece_and_keeps_no_more_than_one() {
        for (coding, encode) in ALL {
            let coded = encode(&vec![0; 8 * PIECE_MAX]);
            let mut decoder = Decoder::new(coding, &Limits::default()).unwrap();
            let (mut rest, mut steps) = (&coded[..], 0);
            while decoder.bytes_out() < 8 * PIECE_MAX as u64 {
                let step = decoder.decode(rest).unwrap();
                assert!(step.data.len() <= PIECE_MAX);
                rest = &rest[step.consumed..];
                steps += 1;
            }
            assert!(steps >= 8 && decoder.piece.capacity() == PIECE_MAX, "{coding:?}: {steps}");
        }
    }

    #[test]
    fn a_window_larger_than_http_allows_is_refused() {
        let zstd_window =
            |exponent: u8| [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, (exponent - 10) << 3], &[1, 0, 0][..]].concat();
        assert_eq!(kind_of(Coding::Zstd, &zstd_window(23)), Ok(vec![]));
        assert_eq!(kind_of(Coding::Zstd, &zstd_window(24)), Err(ErrorKind::Protocol));
        assert_eq!(kind_of(Coding::Zstd, &zstd_window(31)), Err(ErrorKind::Protocol));
        let br_large_window = [0x11, 30, 0x03];
        assert_eq!(kind_of(Coding::Br, &br_large_window), Err(ErrorKind::Protocol));
    }

    fn coding_of(lines: &str) -> Result<Option<Coding>, ErrorKind> {
        let buf = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n").into_bytes();
        let mut head = ResponseHead::new();
        assert!(head.parse(&buf, &Limits::default()).unwrap().is_some());
        Coding::of(head.fields(&buf)).map_err(|error| error.kind())
    }

    #[test]
    fn there_is_one_coding_or_none() {
        for (lines, coding) in [
            ("A: b", None),
            ("Content-Encoding: gzip", Some(Coding::Gzip)),
            ("content-encoding: X-GZip", Some(Coding::Gzip)),
            ("Content-Encoding: deflate", Some(Coding::Deflate)),
            ("Content-Encoding: br", Some(Coding::Br)),
            ("Content-Encoding: zstd", Some(Coding::Zstd)),
            ("Content-Encoding: identity, gzip ,", Some(Coding::Gzip)),
            ("Content-Encoding: identity", None),
            ("Content-Encoding:", None),
            ("Content-Encoding: compress", None),
            ("Content-Encoding: utf-8", None),
        ] {
            assert_eq!(coding_of(lines), Ok(coding), "{lines}");
        }
        for lines in
            ["Content-Encoding: gzip, gzip", "Content-Encoding: gzip\r\nContent-Encoding: br", "Content-Encoding: a,b"]
        {
            assert_eq!(coding_of(lines), Err(ErrorKind::Protocol), "{lines}");
        }
    }
}
