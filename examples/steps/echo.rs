//! A talk to wait for.
//!
//! From step 4 on the tasks wait for sockets: a client sends a byte, the server sends it back, and on it goes.
//!
//! ```text
//!     talk ── byte ──► 127.0.0.1 ──► echo ──┐
//!       ▲ └──────────────◄── the same byte ─┘
//! ```
//!
//! Everything waits in `Socket::ready` and nowhere else, so these functions read like blocking ones.

use crate::Loop;
use crate::reactor::Socket;
use mio::net::{TcpListener, TcpStream};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::{net, thread};

/// Listens on a free port of the loopback, and spawns a task for each of `clients` that sends back what it hears.
pub(crate) fn serve(lp: &Rc<Loop>, clients: u64) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let addr = listener.local_addr()?;
    let mut listener = Socket::new(listener, &lp.reactor)?;
    let server = Rc::clone(lp);
    lp.executor.spawn(async move {
        for _ in 0..clients {
            let (stream, _) = listener.ready(|l| l.accept()).await.expect("a client is on its way");
            let stream = Socket::new(stream, &server.reactor).expect("epoll has room for one more");
            server.executor.spawn(async { echo(stream).await.expect("a client stays until it has its answer") });
        }
    });
    Ok(addr)
}

async fn echo(mut stream: Socket<TcpStream>) -> io::Result<()> {
    let mut buf = [0; 64];
    loop {
        match stream.ready(|s| s.read(&mut buf)).await? {
            0 => return Ok(()), // the client has closed its end
            n => stream.ready(|s| s.write_all(&buf[..n])).await?,
        }
    }
}

/// Connects to the echo server and talks to it for so many rounds: a byte goes out, and the same byte has to come back.
pub(crate) async fn talk(lp: &Loop, addr: SocketAddr, rounds: u8) -> io::Result<()> {
    let mut stream = connect(lp, addr).await?;
    let mut answer = [0];
    for round in 0..rounds {
        stream.ready(|s| s.write_all(&[round])).await?;
        stream.ready(|s| s.read_exact(&mut answer)).await?;
        assert_eq!(answer, [round], "an echo answers with what it was sent");
    }
    Ok(())
}

async fn connect(lp: &Loop, addr: SocketAddr) -> io::Result<Socket<TcpStream>> {
    let mut stream = Socket::new(TcpStream::connect(addr)?, &lp.reactor)?;
    let connected = |s: &mut TcpStream| match (s.take_error()?, s.peer_addr()) {
        (Some(e), _) => Err(e),
        (None, Err(e)) if e.kind() == ErrorKind::NotConnected => Err(ErrorKind::WouldBlock.into()),
        (None, peer) => peer,
    };
    stream.ready(connected).await?;
    Ok(stream)
}

/// The same talk as blocking programs have it: a thread for each end of each connection.
#[allow(dead_code, reason = "step 4 compares, steps 5 and 6 do not")]
pub(crate) fn with_threads(clients: u32, rounds: u8) -> io::Result<()> {
    let listener = net::TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let client = move || -> io::Result<()> {
        let mut stream = net::TcpStream::connect(addr)?;
        let mut answer = [0];
        (0..rounds).try_for_each(|round| stream.write_all(&[round]).and_then(|()| stream.read_exact(&mut answer)))
    };
    let mut ends: Vec<_> = (0..clients).map(|_| thread::spawn(client)).collect();
    for _ in 0..clients {
        let (mut stream, _) = listener.accept()?;
        ends.push(thread::spawn(move || io::copy(&mut stream.try_clone()?, &mut stream).map(drop)));
    }
    ends.into_iter().try_for_each(|end| end.join().expect("neither end panics"))
}
