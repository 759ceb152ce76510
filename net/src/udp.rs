//! UDP: messages to and from anywhere, each on its own, some of them lost.
//!
//! ```text
//!   bind ──► UdpSocket ─┬─ send_to, recv_from        anyone
//!                       └─ connect ──► send, recv    one peer; its refusals come back as errors
//! ```
//!
//! Not here: sending and receiving (`datagram`, shared with Unix sockets); several datagrams in one system call.
//! Next: `datagram`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, Socket, Type};
use windlass_reactor::{AsyncFd, Direction, count_syscalls};

use crate::datagram::datagrams;
use crate::resolve::{Address, resolve};
use crate::watched::{on_its_loop, watched};

/// A UDP socket. Dropping it closes it, and with it the datagrams that were not received.
///
/// A buffer of 65,508 bytes holds any datagram over IPv4 with one to spare. Receiving takes one system call a datagram,
/// and one more that finds no other; sending takes one.
///
/// # Errors
/// Off its loop every operation gives one, but for asking after its addresses and options.
///
/// ```
/// # use windlass_net::net::UdpSocket;
/// # windlass_reactor::doc_real(async {
/// let theirs = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
/// let ours = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
/// ours.send_to(b"hello", theirs.local_addr()?).await?;
/// let mut buffer = [0; 16];
/// let (n, from) = theirs.recv_from(&mut buffer).await?;
/// assert_eq!(&buffer[..n], b"hello");
/// assert_eq!(from, ours.local_addr()?);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    fd: AsyncFd<std::net::UdpSocket>,
}

/// A getter and a setter of an option that std has on its socket.
macro_rules! options {
    ($($(#[$docs:meta])* $get:ident, $set:ident: $kind:ty = $example:literal;)*) => {
        impl UdpSocket {$(
            $(#[$docs])*
            ///
            /// ```
            /// # windlass_net::doc_udp(async |ours, _theirs| {
            #[doc = concat!("ours.", stringify!($set), "(", stringify!($example), ")?;")]
            #[doc = concat!("assert_eq!(ours.", stringify!($get), "()?, ", stringify!($example), ");")]
            /// # Ok(()) });
            /// ```
            pub fn $set(&self, value: $kind) -> io::Result<()> {
                on_its_loop(&self.fd)?.$set(value)
            }

            #[doc = concat!("What [`", stringify!($set), "`](Self::", stringify!($set), ") sets.")]
            ///
            /// ```
            /// # windlass_net::doc_udp(async |ours, _theirs| {
            #[doc = concat!("println!(\"{}\", ours.", stringify!($get), "()?);")]
            /// # Ok(()) });
            /// ```
            pub fn $get(&self) -> io::Result<$kind> {
                self.fd.get_ref().$get()
            }
        )*}
    };
}

options! {
    /// `SO_BROADCAST`: may send to a broadcast address. Off in the beginning.
    broadcast, set_broadcast: bool = true;
    /// `IP_TTL`: how many routers a datagram may pass, over IPv4.
    ttl, set_ttl: u32 = 9;
    /// `IP_MULTICAST_TTL`: how many routers a datagram to a group may pass, over IPv4. 1 in the beginning: none.
    multicast_ttl_v4, set_multicast_ttl_v4: u32 = 3;
    /// `IP_MULTICAST_LOOP`: whether this machine hears, too, what is sent to a group over IPv4. On in the beginning.
    multicast_loop_v4, set_multicast_loop_v4: bool = false;
}

impl UdpSocket {
    /// A socket with a local address; port 0 lets the kernel choose one.
    ///
    /// # Errors
    /// If the address is taken or not ours.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// # use windlass_net::net::UdpSocket;
    /// # windlass_reactor::doc_real(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// assert_ne!(socket.local_addr()?.port(), 0);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    #[track_caller]
    pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
        count_syscalls(2);
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        socket.bind(&address.into())?;
        Ok(UdpSocket { fd: AsyncFd::new(socket.into())? })
    }

    /// Sets the peer: where [`send`](Self::send) sends to, and whom alone it receives from. Nothing is sent for it. Of
    /// several addresses of a name it takes the first that there is a way to.
    ///
    /// # Errors
    /// If the name has no address, or there is a way to none of them: the last one's error.
    ///
    /// # Cancel
    /// Dropping it leaves the peer as it was.
    ///
    /// ```
    /// # use windlass_net::net::UdpSocket;
    /// # windlass_reactor::doc_real(async {
    /// let theirs = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// let ours = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// ours.connect(theirs.local_addr()?).await?;
    /// ours.send(b"hello").await?;
    /// # theirs.recv(&mut [0; 16]).await?;
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn connect(&self, to: impl Into<Address>) -> io::Result<()> {
        let mut last = None;
        for address in resolve(to).await? {
            match on_its_loop(&self.fd)?.connect(address) {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
    }

    /// Sends a datagram to an address: all of it, or nothing. Any number of tasks may wait.
    ///
    /// # Errors
    /// Too long a datagram (more than 65,507 bytes over IPv4), an address of the other IP version, no way there.
    ///
    /// # Cancel
    /// Dropping it sends nothing that was not sent.
    ///
    /// ```
    /// # windlass_net::doc_udp(async |ours, theirs| {
    /// assert_eq!(ours.send_to(b"hello", theirs.local_addr()?).await?, 5);
    /// # Ok(()) });
    /// ```
    pub async fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.fd.write_with(|io| io.send_to(datagram, to)).await
    }

    /// As [`send_to`](Self::send_to), if there is room now.
    ///
    /// # Errors
    /// As `send_to`, and `WouldBlock` if there is no room.
    ///
    /// ```
    /// # windlass_net::doc_udp(async |ours, theirs| {
    /// assert_eq!(ours.try_send_to(b"hello", theirs.local_addr()?)?, 5);
    /// # Ok(()) });
    /// ```
    pub fn try_send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.fd.try_io(Direction::Write, |io| io.send_to(datagram, to))
    }

    /// As [`send_to`](Self::send_to), for who polls. One task may wait: the last that polled.
    ///
    /// ```
    /// # windlass_net::doc_udp(async |ours, theirs| {
    /// let to = theirs.local_addr()?;
    /// assert_eq!(std::future::poll_fn(|cx| ours.poll_send_to(cx, b"hello", to)).await?, 5);
    /// # Ok(()) });
    /// ```
    pub fn poll_send_to(&self, cx: &mut Context<'_>, datagram: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        self.fd.poll_io(Direction::Write, cx, |io| io.send_to(datagram, to))
    }

    /// Reads a datagram without taking it, and says who sent it: the next receive gives the same one again.
    ///
    /// ```
    /// # windlass_net::doc_udp(async |ours, theirs| {
    /// theirs.send(b"hello").await?;
    /// let (_, from) = ours.peek_from(&mut [0; 1]).await?; // that it is cut harms nothing: it stays whole
    /// assert_eq!(from, theirs.local_addr()?);
    /// assert_eq!(ours.recv(&mut [0; 16]).await?, 5);
    /// # Ok(()) });
    /// ```
    pub async fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.fd.read_with(|io| io.peek_from(buffer)).await
    }

    /// As [`peek_from`](Self::peek_from), of a datagram that is there now.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    ///
    /// ```
    /// # windlass_net::doc_udp(async |ours, theirs| {
    /// theirs.send(b"hello").await?;
    /// ours.readable().await?;
    /// assert_eq!(ours.try_peek_from(&mut [0; 16])?.0, 5);
    /// # Ok(()) });
    /// ```
    pub fn try_peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.fd.try_io(Direction::Read, |io| io.peek_from(buffer))
    }

    /// Joins a group over IPv4, at the interface with the address `interface`; 0.0.0.0 lets the kernel choose.
    ///
    /// ```
    /// # windlass_net::doc_udp(async |ours, _theirs| {
    /// use std::net::Ipv4Addr;
    /// let group = Ipv4Addr::new(239, 255, 70, 70);
    /// ours.join_multicast_v4(group, Ipv4Addr::LOCALHOST)?;
    /// ours.leave_multicast_v4(group, Ipv4Addr::LOCALHOST)?;
    /// # Ok(()) });
    /// ```
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        on_its_loop(&self.fd)?.join_multicast_v4(&group, &interface)
    }

    /// Leaves a group that it joined by [`join_multicast_v4`](Self::join_multicast_v4).
    ///
    /// ```
    /// # windlass_net::doc_udp(async |ours, _theirs| {
    /// use std::net::Ipv4Addr;
    /// let never_joined = ours.leave_multicast_v4(Ipv4Addr::new(239, 255, 70, 70), Ipv4Addr::LOCALHOST);
    /// assert!(never_joined.is_err());
    /// # Ok(()) });
    /// ```
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        on_its_loop(&self.fd)?.leave_multicast_v4(&group, &interface)
    }

    /// Joins a group over IPv6, at the interface with the number `interface`; 0 lets the kernel choose.
    ///
    /// ```
    /// # use windlass_net::net::UdpSocket;
    /// # windlass_reactor::doc_real(async {
    /// match UdpSocket::bind("[::]:0".parse().unwrap()) {
    ///     Ok(ours) => match ours.join_multicast_v6("ff02::7070".parse().unwrap(), 1) {
    ///         Ok(()) => ours.leave_multicast_v6("ff02::7070".parse().unwrap(), 1)?,
    ///         Err(error) => println!("no groups at interface 1: {error}"),
    ///     },
    ///     Err(error) => println!("this machine has no IPv6: {error}"),
    /// }
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn join_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        on_its_loop(&self.fd)?.join_multicast_v6(&group, interface)
    }

    /// Leaves a group that it joined by [`join_multicast_v6`](Self::join_multicast_v6).
    ///
    /// ```
    /// # windlass_net::doc_udp(async |ours, _theirs| {
    /// assert!(ours.leave_multicast_v6("ff02::7070".parse().unwrap(), 1).is_err()); // never joined
    /// # Ok(()) });
    /// ```
    pub fn leave_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        on_its_loop(&self.fd)?.leave_multicast_v6(&group, interface)
    }
}

datagrams!(UdpSocket, watches std::net::UdpSocket, named by SocketAddr, examples on "doc_udp");

watched!(
    UdpSocket,
    watches std::net::UdpSocket,
    named by SocketAddr,
    examples in "windlass_reactor::doc_real(async {" on "std::net::UdpSocket::bind(\"127.0.0.1:0\")"
);
