//! Windlass, as anybody would use it: nothing is switched off.
//!
//! Names, spawn sites, wait reasons and the loop's counters are there on every task of every row.
//!
//! Next: `tokio`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use windlass::Loop;
use windlass::net::{TcpListener, TcpStream};
use windlass::task::{JoinError, JoinHandle};
use windlass::time::Elapsed;

use super::Runtime;

/// `windlass::Loop`.
#[derive(Clone)]
pub(crate) struct Windlass;

impl Runtime for Windlass {
    type Lost = JoinError;
    type Join<T: 'static> = JoinHandle<T>;
    type Late = Elapsed;
    type Stream = TcpStream;

    fn run<F: Future>(root: impl FnOnce(Self) -> F) -> F::Output {
        let crank = Loop::new().expect("the kernel grants an epoll and an eventfd");
        crank.block_on(root(Windlass))
    }

    fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        windlass::spawn(future)
    }

    fn sleep(duration: Duration) -> impl Future + 'static {
        windlass::time::sleep(duration)
    }

    fn timeout<F: Future>(duration: Duration, future: F) -> impl Future<Output = Result<F::Output, Elapsed>> {
        windlass::time::timeout(duration, future)
    }

    async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        stream.read(buffer).await
    }

    async fn write_all(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        stream.write_all(bytes).await
    }

    async fn silent_socket() -> io::Result<()> {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
        listener.accept().await.map(|_| ())
    }
}
