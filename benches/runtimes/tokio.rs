//! Tokio, twice: `LocalRuntime` and `LocalSet`.
//!
//! `LocalRuntime` is the fair baseline: one thread, tasks without `Send`, nothing of the work-stealing scheduler in the way.
//! `LocalSet` on a `current_thread` runtime is what most programs still use for such tasks. Both spawn with
//! `tokio::task::spawn_local`, so they differ in who runs the queue and in nothing else.
//!
//! Next: `smol`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{JoinError, JoinHandle, spawn_local};
use tokio::time::error::Elapsed;

use super::Runtime;

/// `tokio::runtime::LocalRuntime`.
#[derive(Clone)]
pub(crate) struct LocalRuntime;

/// `tokio::task::LocalSet` on a `current_thread` runtime.
#[derive(Clone)]
pub(crate) struct LocalSet;

/// Everything but `run` is one source for both.
macro_rules! tokio_runtime {
    ($name:ident, |$root:ident| $run:expr) => {
        impl Runtime for $name {
            type Lost = JoinError;
            type Join<T: 'static> = JoinHandle<T>;
            type Late = Elapsed;
            type Stream = TcpStream;

            fn run<F: Future>(root: impl FnOnce(Self) -> F) -> F::Output {
                let $root = root($name);
                $run
            }

            fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
            where
                F: Future + 'static,
                F::Output: 'static,
            {
                spawn_local(future)
            }

            fn sleep(duration: Duration) -> impl Future + 'static {
                tokio::time::sleep(duration)
            }

            fn timeout<F: Future>(duration: Duration, future: F) -> impl Future<Output = Result<F::Output, Elapsed>> {
                tokio::time::timeout(duration, future)
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
    };
}

tokio_runtime!(LocalRuntime, |root| {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("the kernel grants an epoll and an eventfd");
    runtime.block_on(root)
});

tokio_runtime!(LocalSet, |root| {
    let runtime =
        Builder::new_current_thread().enable_all().build().expect("the kernel grants an epoll and an eventfd");
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, root)
});
