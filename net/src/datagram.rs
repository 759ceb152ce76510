//! Sockets that send and receive messages: what UDP and Unix datagrams have in common.
//! A datagram is sent whole or not at all, and received in one go or cut. No stream: nothing is read twice, nothing is
//! left for the next read, and a short datagram does not mean that there is no other behind it.
//!
//! ```text
//!   send ───► kernel: room? ── no ──► wait until writable          one system call a datagram
//!   recv ◄── kernel: any?  ── no ──► wait until readable           one a datagram, and one that finds no more
//! ```
//!
//! A datagram that is longer than the buffer is cut to it, and the rest is gone; the kernel's word of that (`MSG_TRUNC`)
//! does not reach us through std. A received length that equals the buffer's is all there is to see, so a buffer should
//! be a byte longer than the longest datagram expected.
//!
//! Next: `udp`, `unix/datagram`, where addresses differ.

/// What `$name`, a struct with an `fd` that watches a `$socket`, does with datagrams. `$pair` runs an example on two of
/// them that are connected with each other.
macro_rules! datagrams {
    ($name:ident, watches $socket:ty, named by $address:ty, examples on $pair:literal) => {
        impl $name {
            /// Sends a datagram to the peer that this is connected to: all of it, or nothing. Any number of tasks may
            /// wait.
            ///
            /// # Errors
            /// If it is not connected; too long a datagram; what came of earlier ones, such as `ConnectionRefused` where
            /// nobody receives any more.
            ///
            /// # Cancel
            /// Dropping it sends nothing that was not sent.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, theirs| {")]
            /// assert_eq!(ours.send(b"hello").await?, 5);
            /// # theirs.recv(&mut [0; 16]).await?;
            /// # Ok(()) });
            /// ```
            pub async fn send(&self, datagram: &[u8]) -> io::Result<usize> {
                self.fd.write_with(|io| io.send(datagram)).await
            }

            /// Receives a datagram, from anyone, or from the peer alone if this is connected. A datagram longer than the
            /// buffer is cut, and its rest is gone: a length that equals the buffer's may mean that. A datagram may be
            /// empty: 0 is no end. Any number of tasks may wait.
            ///
            /// # Errors
            /// What came of earlier sends, such as `ConnectionRefused` where nobody receives any more.
            ///
            /// # Cancel
            /// Dropping it loses no datagram.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, theirs| {")]
            /// theirs.send(b"hello").await?;
            /// theirs.send(b"there").await?;
            /// let mut buffer = [0; 4];
            /// assert_eq!(ours.recv(&mut buffer).await?, 4); // cut: it was longer
            /// assert_eq!(ours.recv(&mut [0; 6]).await?, 5); // whole: it is shorter than the buffer
            /// # Ok(()) });
            /// ```
            pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.fd.read_with(|io| io.recv(buffer)).await
            }

            /// As [`recv`](Self::recv); says who sent it.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, theirs| {")]
            /// theirs.send(b"hello").await?;
            /// let (n, from) = ours.recv_from(&mut [0; 16]).await?;
            /// println!("{n} bytes from {from:?}");
            /// # Ok(()) });
            /// ```
            pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, $address)> {
                self.fd.read_with(|io| io.recv_from(buffer)).await
            }

            /// Sends a datagram to the peer, if there is room now.
            ///
            /// # Errors
            /// As [`send`](Self::send), and `WouldBlock` if there is no room.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, _theirs| {")]
            /// assert_eq!(ours.try_send(b"hello")?, 5);
            /// # Ok(()) });
            /// ```
            pub fn try_send(&self, datagram: &[u8]) -> io::Result<usize> {
                self.fd.try_io(Direction::Write, |io| io.send(datagram))
            }

            /// Receives a datagram that is there now.
            ///
            /// # Errors
            /// As [`recv`](Self::recv), and `WouldBlock` if there is none.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, _theirs| {")]
            /// assert_eq!(ours.try_recv(&mut [0; 16]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
            /// # Ok(()) });
            /// ```
            pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.fd.try_io(Direction::Read, |io| io.recv(buffer))
            }

            /// As [`try_recv`](Self::try_recv); says who sent it.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, theirs| {")]
            /// theirs.send(b"hello").await?;
            /// ours.readable().await?;
            /// assert_eq!(ours.try_recv_from(&mut [0; 16])?.0, 5);
            /// # Ok(()) });
            /// ```
            pub fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, $address)> {
                self.fd.try_io(Direction::Read, |io| io.recv_from(buffer))
            }

            /// As [`send`](Self::send), for who polls. One task may wait: the last that polled.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, _theirs| {")]
            /// assert_eq!(std::future::poll_fn(|cx| ours.poll_send(cx, b"hello")).await?, 5);
            /// # Ok(()) });
            /// ```
            pub fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<usize>> {
                self.fd.poll_io(Direction::Write, cx, |io| io.send(datagram))
            }

            /// As [`recv`](Self::recv), for who polls. One task may wait: the last that polled.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, theirs| {")]
            /// theirs.send(b"hello").await?;
            /// let mut buffer = [0; 16];
            /// assert_eq!(std::future::poll_fn(|cx| ours.poll_recv(cx, &mut buffer)).await?, 5);
            /// # Ok(()) });
            /// ```
            pub fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
                self.fd.poll_io(Direction::Read, cx, |io| io.recv(buffer))
            }

            /// As [`recv_from`](Self::recv_from), for who polls. One task may wait: the last that polled.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, theirs| {")]
            /// theirs.send(b"hello").await?;
            /// let mut buffer = [0; 16];
            /// let (n, _from) = std::future::poll_fn(|cx| ours.poll_recv_from(cx, &mut buffer)).await?;
            /// assert_eq!(n, 5);
            /// # Ok(()) });
            /// ```
            pub fn poll_recv_from(
                &self,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<(usize, $address)>> {
                self.fd.poll_io(Direction::Read, cx, |io| io.recv_from(buffer))
            }

            /// Waits until there is a datagram, or an error to be told.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, theirs| {")]
            /// theirs.send(b"hello").await?;
            /// ours.readable().await?;
            /// assert_eq!(ours.try_recv(&mut [0; 16])?, 5);
            /// # Ok(()) });
            /// ```
            pub async fn readable(&self) -> io::Result<()> {
                self.fd.readable().await
            }

            /// Waits until there is room to send.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, _theirs| {")]
            /// ours.writable().await?;
            /// ours.try_send(b"hello")?;
            /// # Ok(()) });
            /// ```
            pub async fn writable(&self) -> io::Result<()> {
                self.fd.writable().await
            }

            /// The peer that this is connected to.
            ///
            /// # Errors
            /// `NotConnected` if there is none.
            ///
            /// ```
            #[doc = concat!("# windlass_net::", $pair, "(async |ours, _theirs| {")]
            /// println!("connected to {:?}", ours.peer_addr()?);
            /// # Ok(()) });
            /// ```
            pub fn peer_addr(&self) -> io::Result<$address> {
                self.fd.get_ref().peer_addr()
            }
        }
    };
}
pub(crate) use datagrams;
