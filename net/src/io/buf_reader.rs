//! A stream by lines.
//! A line is whole when its end has come, and until then its beginning must be kept somewhere. It is kept here and not in
//! the future that waits, so that giving up the wait loses nothing; and no more of it is kept than is allowed, since who
//! sends a line without an end would otherwise fill our memory.
//!
//! ```text
//!   stream ── poll_read ──► [ used │ start ..... a line ..... \n ... end │ room ] ──► read_until, read_line, lines
//!                                  └── at most `max_line` before the delimiter
//! ```
//!
//! Not here: buffered writing (collect in a `Vec` and `write_all` it).   Next: `copy`, for whoever wants no lines.

use std::future::poll_fn;
use std::io::{self, BufRead};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use crate::stream;

/// What a buffer has room for in the beginning: std's figure for its `BufReader`.
const BUFFER_LEN: usize = 8 * 1024;
/// The longest line that is taken if nothing else is said: the figure of asyncio's `StreamReader`.
const LINE_MAX: usize = 64 * 1024;

/// Reads a stream in pieces that end where a line ends.
///
/// It holds 8 KiB, and for lines up to what the longest may have: 64 KiB if [`max_line`](Self::max_line) says nothing else.
/// Writing goes to the stream underneath, unbuffered.
///
/// # Errors
/// Those of the stream, and of kind `InvalidData` for a line that is too long, or not UTF-8 where a `String` is asked
/// for. Too long a line stays in front: reading by lines fails again then, reading bytes goes on with it.
///
/// # Cancel
/// Every read may be dropped, [`read_exact`](Self::read_exact) excepted: what was not given out is still here.
///
/// ```
/// # use windlass_net::windlass;
/// # windlass_reactor::doc(async {
/// use windlass::io::{BufReader, duplex};
/// let (ours, mut theirs) = duplex(1024);
/// theirs.write_all(b"first\nsecond").await?;
/// drop(theirs);
/// let mut lines = BufReader::new(ours).max_line(1000).lines();
/// while let Some(line) = lines.next_line().await? {
///     println!("{line}");
/// }
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct BufReader<R> {
    inner: R,
    /// What was read and not given out lies from `start` to `end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// So many bytes from `start` on have been searched for this delimiter, in vain.
    searched: usize,
    searched_for: u8,
    line_max: usize,
}

impl<R> BufReader<R> {
    /// Reads from `inner`, in lines of at most 64 KiB.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::io::BufReader;
    /// let reader = BufReader::new(windlass::io::duplex(1024).0);
    /// assert!(reader.buffer().is_empty());
    /// ```
    pub fn new(inner: R) -> BufReader<R> {
        let buffer = vec![0; BUFFER_LEN];
        BufReader { inner, buffer, start: 0, end: 0, searched: 0, searched_for: 0, line_max: LINE_MAX }
    }

    /// Lets a line have `bytes` before its delimiter, and no more. It is also what a peer can make this hold.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc(async {
    /// use windlass::io::{BufReader, duplex};
    /// let (ours, mut theirs) = duplex(1024);
    /// theirs.write_all(b"more than ten bytes\n").await?;
    /// let mut reader = BufReader::new(ours).max_line(10);
    /// let error = reader.read_line(&mut String::new()).await.unwrap_err();
    /// assert_eq!(error.to_string(), "a line is longer than 10 bytes");
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn max_line(mut self, bytes: usize) -> BufReader<R> {
        self.line_max = bytes;
        self
    }

    /// What was read from the stream and not given out.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc(async {
    /// use windlass::io::{BufReader, duplex};
    /// let (ours, mut theirs) = duplex(1024);
    /// theirs.write_all(b"line\nrest").await?;
    /// let mut reader = BufReader::new(ours);
    /// reader.read_line(&mut String::new()).await?;
    /// assert_eq!(reader.buffer(), b"rest");
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn buffer(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The stream underneath, to ask something of.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_net::doc(async |ours, _theirs| {
    /// let reader = windlass::io::BufReader::new(ours);
    /// println!("from {}", reader.get_ref().peer_addr()?);
    /// # Ok(()) });
    /// ```
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The stream underneath, to write to. What is read from it directly is missing here.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_net::doc(async |ours, _theirs| {
    /// let mut reader = windlass::io::BufReader::new(ours);
    /// reader.get_mut().write_all(b"question\n").await?;
    /// # Ok(()) });
    /// ```
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    /// The stream underneath; what lies in the [`buffer`](Self::buffer) is lost.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// let reader = windlass::io::BufReader::new("a stream");
    /// assert_eq!(reader.into_inner(), "a stream");
    /// ```
    pub fn into_inner(self) -> R {
        self.inner
    }

    #[track_caller]
    fn take(&mut self, n: usize) {
        assert!(n <= self.end - self.start, "more was consumed than there is");
        self.start += n;
        self.searched = 0;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Makes room behind `end`.
    fn make_room(&mut self) {
        if self.end < self.buffer.len() {
            return;
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            return;
        }
        // A line fills it. One byte more than the longest shows that it is too long.
        let most = self.line_max.saturating_add(1).max(BUFFER_LEN);
        self.buffer.resize((2 * self.buffer.len()).min(most).max(self.end + 1), 0);
    }
}

fn too_long(max: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a line is longer than {max} bytes"))
}

fn not_utf8() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a line is not UTF-8")
}

impl<R: AsyncRead + Unpin> BufReader<R> {
    /// Reads more behind what is there. 0 is the end of the stream.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.make_room();
        let n = ready!(Pin::new(&mut self.inner).poll_read(cx, &mut self.buffer[self.end..]))?;
        self.end += n;
        Poll::Ready(Ok(n))
    }

    /// How many bytes of the buffer reach to the delimiter, it included, or to the end of the stream.
    fn poll_until(&mut self, cx: &mut Context<'_>, delimiter: u8) -> Poll<io::Result<usize>> {
        if self.searched_for != delimiter {
            (self.searched, self.searched_for) = (0, delimiter);
        }
        loop {
            let mut unsearched = &self.buffer[self.start + self.searched..self.end];
            let passed = unsearched.skip_until(delimiter).expect("memory has no errors");
            let len = self.searched + passed;
            let found = passed > 0 && self.buffer[self.start + len - 1] == delimiter;
            if len - usize::from(found) > self.line_max {
                return Poll::Ready(Err(too_long(self.line_max)));
            }
            if found {
                return Poll::Ready(Ok(len));
            }
            self.searched = len;
            if ready!(self.poll_more(cx))? == 0 {
                return Poll::Ready(Ok(len));
            }
        }
    }

    /// One line without its end. None at the end of the stream.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<String>>> {
        let len = ready!(self.poll_until(cx, b'\n'))?;
        if len == 0 {
            return Poll::Ready(Ok(None));
        }
        let line = &self.buffer()[..len];
        let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
        let line = str::from_utf8(line).map(str::to_owned);
        self.take(len);
        Poll::Ready(line.map(Some).map_err(|_| not_utf8()))
    }

    /// Reads what is there, at least one byte; 0 is the end of the stream.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc(async {
    /// use windlass::io::{BufReader, duplex};
    /// let (ours, mut theirs) = duplex(1024);
    /// theirs.write_all(b"line\nbinary").await?;
    /// let mut reader = BufReader::new(ours);
    /// reader.read_line(&mut String::new()).await?;
    /// assert_eq!(reader.read(&mut [0; 16]).await?, 6);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, buffer)).await
    }

    /// Fills the buffer.
    ///
    /// # Errors
    /// `UnexpectedEof` if the stream ends first.
    ///
    /// # Cancel
    /// Dropping it loses what it had read.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc(async {
    /// use windlass::io::{BufReader, duplex};
    /// let (ours, mut theirs) = duplex(1024);
    /// theirs.write_all(b"5\nhello").await?;
    /// let mut reader = BufReader::new(ours);
    /// let mut length = String::new();
    /// reader.read_line(&mut length).await?;
    /// let mut body = vec![0; length.trim_end().parse().unwrap()];
    /// reader.read_exact(&mut body).await?;
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        stream::read_exact(|cx, buffer| Pin::new(&mut *self).poll_read(cx, buffer), buffer).await
    }

    /// Appends to `piece` what comes up to `delimiter`, it included, or up to the end of the stream. Gives the number of
    /// bytes; 0 is the end.
    ///
    /// # Errors
    /// `InvalidData` if more than [`max_line`](Self::max_line) bytes come without the delimiter.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc(async {
    /// use windlass::io::{BufReader, duplex};
    /// let (ours, mut theirs) = duplex(1024);
    /// theirs.write_all(b"key=value").await?;
    /// let mut key = Vec::new();
    /// assert_eq!(BufReader::new(ours).read_until(b'=', &mut key).await?, 4);
    /// assert_eq!(key, b"key=");
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn read_until(&mut self, delimiter: u8, piece: &mut Vec<u8>) -> io::Result<usize> {
        let len = poll_fn(|cx| self.poll_until(cx, delimiter)).await?;
        piece.extend_from_slice(&self.buffer()[..len]);
        self.take(len);
        Ok(len)
    }

    /// Appends a line to `line`, with the line feed that ends it unless the stream ended first. Gives the number of
    /// bytes; 0 is the end.
    ///
    /// # Errors
    /// `InvalidData` if it is longer than [`max_line`](Self::max_line) allows, and stays; or if it is not UTF-8, and is
    /// passed over.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc(async {
    /// use windlass::io::{BufReader, duplex};
    /// let (ours, mut theirs) = duplex(1024);
    /// theirs.write_all(b"one\ntwo\n").await?;
    /// let mut both = String::new();
    /// let mut reader = BufReader::new(ours);
    /// reader.read_line(&mut both).await?;
    /// reader.read_line(&mut both).await?;
    /// assert_eq!(both, "one\ntwo\n");
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn read_line(&mut self, line: &mut String) -> io::Result<usize> {
        let len = poll_fn(|cx| self.poll_until(cx, b'\n')).await?;
        let read = str::from_utf8(&self.buffer()[..len]).map(|text| line.push_str(text));
        self.take(len);
        read.map(|()| len).map_err(|_| not_utf8())
    }

    /// The lines of the stream, each without the line feed, or carriage return and line feed, that ends it.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc(async {
    /// use windlass::io::{BufReader, duplex};
    /// let (ours, mut theirs) = duplex(1024);
    /// theirs.write_all(b"one\r\ntwo\n").await?;
    /// let mut lines = BufReader::new(ours).lines();
    /// assert_eq!(lines.next_line().await?.as_deref(), Some("one"));
    /// assert_eq!(lines.next_line().await?.as_deref(), Some("two"));
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn lines(self) -> Lines<R> {
        Lines { reader: self, over: false }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for BufReader<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.start == self.end && buffer.len() >= self.buffer.len() {
            return Pin::new(&mut self.inner).poll_read(cx, buffer); // a copy less
        }
        let ready = ready!(self.as_mut().poll_fill_buf(cx))?;
        let n = ready.len().min(buffer.len());
        buffer[..n].copy_from_slice(&ready[..n]);
        self.take(n);
        Poll::Ready(Ok(n))
    }
}

impl<R: AsyncRead + Unpin> AsyncBufRead for BufReader<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.start == this.end {
            ready!(this.poll_more(cx))?;
        }
        Poll::Ready(Ok(this.buffer()))
    }

    fn consume(mut self: Pin<&mut Self>, n: usize) {
        self.take(n);
    }
}

/// Unbuffered, to the stream underneath.
impl<R: AsyncWrite + Unpin> AsyncWrite for BufReader<R> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

/// The lines of a stream: see [`BufReader::lines`]. As a `Stream` it gives the same as [`next_line`](Self::next_line).
///
/// ```
/// # use windlass_net::windlass;
/// # windlass_reactor::doc(async {
/// use windlass::io::{BufReader, duplex};
/// let (ours, mut theirs) = duplex(1024);
/// theirs.write_all(b"the last line needs no end").await?;
/// drop(theirs);
/// let mut lines = BufReader::new(ours).lines();
/// assert_eq!(lines.next_line().await?.as_deref(), Some("the last line needs no end"));
/// assert_eq!(lines.next_line().await?, None);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct Lines<R> {
    reader: BufReader<R>,
    over: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// The next line. None at the end of the stream, and after an error.
    ///
    /// # Errors
    /// Those of the stream, and `InvalidData` for a line that is too long or not UTF-8.
    ///
    /// # Cancel
    /// Dropping it loses nothing: the next call gives the line.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc(async {
    /// use windlass::io::{BufReader, duplex};
    /// let (ours, mut theirs) = duplex(1024);
    /// theirs.write_all(b"\xff\n").await?;
    /// let mut lines = BufReader::new(ours).lines();
    /// assert_eq!(lines.next_line().await.unwrap_err().to_string(), "a line is not UTF-8");
    /// assert_eq!(lines.next_line().await?, None);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn next_line(&mut self) -> io::Result<Option<String>> {
        poll_fn(|cx| self.poll_next_line(cx)).await
    }

    fn poll_next_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<String>>> {
        if self.over {
            return Poll::Ready(Ok(None));
        }
        let line = ready!(self.reader.poll_line(cx));
        self.over = !matches!(line, Ok(Some(_)));
        Poll::Ready(line)
    }

    /// The reader, with what is left.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// # windlass_reactor::doc(async {
    /// use windlass::io::{BufReader, duplex};
    /// let (ours, mut theirs) = duplex(1024);
    /// theirs.write_all(b"head\nbody").await?;
    /// let mut lines = BufReader::new(ours).lines();
    /// lines.next_line().await?;
    /// assert_eq!(lines.into_inner().buffer(), b"body");
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn into_inner(self) -> BufReader<R> {
        self.reader
    }
}

impl<R: AsyncRead + Unpin> Stream for Lines<R> {
    type Item = io::Result<String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<String>>> {
        self.poll_next_line(cx).map(Result::transpose)
    }
}
