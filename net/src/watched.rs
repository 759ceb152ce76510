//! What every socket here has: a descriptor that its loop watches, taken over from the standard library and given back
//! to it.
//!
//! ```text
//!   std's socket ── from_std ──► AsyncFd { socket } ── into_std ──► std's socket, still non-blocking
//! ```
//!
//! Next: `AsyncFd` in windlass-reactor, which does the waiting.

use std::io;
use std::os::fd::AsFd;

use windlass_reactor::{AsyncFd, Direction, count_syscalls};

/// The socket, to be called once; an error off its loop.
pub(crate) fn on_its_loop<T: AsFd + Send + 'static>(fd: &AsyncFd<T>) -> io::Result<&T> {
    fd.is_ready(Direction::Write)?;
    count_syscalls(1);
    Ok(fd.get_ref())
}

/// The way in, the way out and the descriptor of `$name`, a struct with an `fd` alone. An example opens with `$open` and
/// makes what it takes over by `$make`.
macro_rules! watched {
    ($name:ident, watches $socket:ty, named by $address:ty, examples in $open:literal on $make:literal) => {
        impl $name {
            /// Takes it over from the standard library.
            ///
            /// # Errors
            /// If it cannot be made non-blocking or watched.
            ///
            /// # Panics
            /// Outside a running loop.
            ///
            /// ```
            /// # use windlass_net::windlass;
            #[doc = concat!("# ", $open)]
            #[doc = concat!("let plain = ", $make, "?;")]
            #[doc = concat!("let ours = windlass::net::", stringify!($name), "::from_std(plain)?;")]
            /// println!("{:?}", ours.local_addr()?);
            /// # std::io::Result::Ok(()) }).unwrap();
            /// ```
            #[track_caller]
            pub fn from_std(socket: $socket) -> io::Result<$name> {
                count_syscalls(1);
                socket.set_nonblocking(true)?;
                Ok($name { fd: AsyncFd::new(socket)? })
            }

            /// Gives it back to the standard library, still non-blocking.
            ///
            /// # Errors
            /// On another thread than its loop's; it is closed then.
            ///
            /// ```
            /// # use windlass_net::windlass;
            #[doc = concat!("# ", $open)]
            #[doc = concat!("# let ours = windlass::net::", stringify!($name), "::from_std(", $make, "?)?;")]
            /// let plain = ours.into_std()?;
            /// plain.set_nonblocking(false)?; // for code that blocks
            /// # std::io::Result::Ok(()) }).unwrap();
            /// ```
            pub fn into_std(self) -> io::Result<$socket> {
                self.fd.into_inner()
            }

            /// Our address.
            ///
            /// ```
            /// # use windlass_net::windlass;
            #[doc = concat!("# ", $open)]
            #[doc = concat!("# let ours = windlass::net::", stringify!($name), "::from_std(", $make, "?)?;")]
            /// println!("this end is {:?}", ours.local_addr()?);
            /// # std::io::Result::Ok(()) }).unwrap();
            /// ```
            pub fn local_addr(&self) -> io::Result<$address> {
                self.fd.get_ref().local_addr()
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.fd.as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.fd.as_raw_fd()
            }
        }
    };
}
pub(crate) use watched;
