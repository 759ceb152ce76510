//! Smol: `LocalExecutor` under `smol::block_on`.
//!
//! The executor (async-executor) and the reactor (async-io) are two crates that meet in `block_on`. Spawning is not ambient,
//! so the runtime's value is the executor itself. A task whose handle is dropped is cancelled here, where every other side
//! lets it run on; the handle of this side therefore detaches when it is dropped.
//!
//! There is no `timeout`: its users race the future against a timer with `or`, and so do we.
//!
//! Next: `work`, what all of them are asked to do.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use smol::{LocalExecutor, Task, Timer};

use super::Runtime;

/// `smol::LocalExecutor`.
#[derive(Clone)]
pub(crate) struct Smol(Rc<LocalExecutor<'static>>);

/// The time was up.
#[derive(Debug)]
pub(crate) struct Late;

/// A task that runs on when its handle is dropped.
pub(crate) struct Detaching<T>(Option<Task<T>>);

impl<T> Future for Detaching<T> {
    type Output = Result<T, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let task = self.0.as_mut().expect("only dropping takes the task");
        Pin::new(task).poll(context).map(Ok)
    }
}

impl<T> Drop for Detaching<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}

impl Runtime for Smol {
    type Lost = Infallible;
    type Join<T: 'static> = Detaching<T>;
    type Late = Late;
    type Stream = TcpStream;

    fn run<F: Future>(root: impl FnOnce(Self) -> F) -> F::Output {
        let executor = Rc::new(LocalExecutor::new());
        let root = root(Smol(executor.clone()));
        smol::block_on(executor.run(root))
    }

    fn spawn<F>(&self, future: F) -> Detaching<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        Detaching(Some(self.0.spawn(future)))
    }

    fn sleep(duration: Duration) -> impl Future + 'static {
        Timer::after(duration)
    }

    fn timeout<F: Future>(duration: Duration, future: F) -> impl Future<Output = Result<F::Output, Late>> {
        let done = async { Ok(future.await) };
        let late = async move {
            Timer::after(duration).await;
            Err(Late)
        };
        smol::future::or(done, late)
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
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        listener.accept().await.map(|_| ())
    }
}
