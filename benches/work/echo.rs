//! What a round trip costs: the side under test is the client, in its own process; the server is in another, on the other
//! core.
//!
//! ```text
//!      core 0: N tasks, each   write 64 bytes ─► read until 64 bytes are back        core 1: one bare mio loop
//! ```
//!
//! The server is the same for every side: epoll, one read, one write, no runtime. The client's buffer is 1,024 bytes, so that a
//! read that comes back short has drained the socket; or 64, filled exactly, so that nothing can be concluded from it.
//!
//! Next: `wakes`.

use std::hint::black_box;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::RUNS;
use super::meter::{Cost, Meter};
use crate::runtimes::Runtime;

/// Bytes of a message.
pub(crate) const MESSAGE: usize = 64;

/// How much room a read has.
#[derive(Clone, Copy)]
pub(crate) enum Buffer {
    /// 1,024 bytes: a short read tells that the socket is drained.
    Roomy,
    /// As long as the message: a full read tells nothing.
    Exact,
}

impl Buffer {
    fn bytes(self) -> usize {
        match self {
            Buffer::Roomy => 1_024,
            Buffer::Exact => MESSAGE,
        }
    }
}

/// What a task does with an answer.
#[derive(Clone, Copy)]
pub(crate) enum Thought {
    /// Nothing: the next message goes out at once. Which side then waits for the other, and so how many answers a wait
    /// brings, is for the two cores to settle: a faster client waits more often.
    None,
    /// Some 5 µs of arithmetic, so that the client is what limits, on every side.
    Some,
}

impl Thought {
    fn think(self) {
        let steps = match self {
            Thought::None => 0,
            Thought::Some => 4_000,
        };
        let mut state = 1_u64;
        for _ in 0..steps {
            state ^= black_box(state) << 13;
        }
        black_box(state);
    }
}

/// `connections` tasks make `trips` round trips each.
pub(crate) fn client<R: Runtime>(
    server: SocketAddr,
    connections: u64,
    buffer: Buffer,
    thought: Thought,
    trips: u64,
) -> Cost {
    R::run(|runtime| async move {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let mut stream = R::connect(server).await.expect("the echo server listens");
            round_trips::<R>(&mut stream, buffer, Thought::None, 1).await.expect("the echo server answers");
            streams.push(stream);
        }
        let meter = Meter::start();
        let spawn = |mut stream: R::Stream| {
            runtime.spawn(async move {
                round_trips::<R>(&mut stream, buffer, thought, trips).await.expect("the echo server answers");
                stream
            })
        };
        let handles: Vec<_> = streams.into_iter().map(spawn).collect();
        let mut streams = Vec::new();
        for handle in handles {
            streams.push(handle.await.expect(RUNS));
        }
        let cost = meter.stop();
        // Closed only now: closing is not part of a round trip.
        drop(streams);
        cost
    })
}

/// `connections` tasks make one round trip and then wait for bytes that do not come, for `rest`, with one far timer set: what
/// that costs.
pub(crate) fn idle<R: Runtime>(server: SocketAddr, connections: u64, rest: Duration) -> Cost {
    R::run(|runtime| async move {
        let mut waiting = Vec::new(); // some runtimes cancel what nobody holds
        for _ in 0..connections {
            let mut stream = R::connect(server).await.expect("the echo server listens");
            waiting.push(runtime.spawn(async move {
                round_trips::<R>(&mut stream, Buffer::Roomy, Thought::None, 1).await.expect("the echo server answers");
                R::read(&mut stream, &mut [0; 1_024]).await
            }));
        }
        let far = runtime.spawn(async { R::sleep(Duration::from_secs(3_600)).await });
        R::sleep(Duration::from_millis(500)).await; // the last of them has got its answer
        let meter = Meter::start();
        R::sleep(rest).await;
        let cost = meter.stop();
        drop((waiting, far));
        cost
    })
}

async fn round_trips<R: Runtime>(
    stream: &mut R::Stream,
    buffer: Buffer,
    thought: Thought,
    trips: u64,
) -> io::Result<()> {
    let mut room = [0; 1_024];
    let room = &mut room[..buffer.bytes()];
    for _ in 0..trips {
        R::write_all(stream, &[b'w'; MESSAGE]).await?;
        let mut back = 0;
        while back < MESSAGE {
            match R::read(stream, room).await? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                bytes => back += bytes,
            }
        }
        thought.think();
    }
    Ok(())
}

const LISTENER: Token = Token(usize::MAX);

/// Echoes for ever, after it has told its address.
pub(crate) fn serve(tell: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    tell(listener.local_addr()?);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1_024);
    // A connection's place is its token. Places are not used again: a server lives for one run.
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections)?;
                continue;
            }
            let Token(place) = event.token();
            let Some(stream) = &mut connections[place] else {
                continue;
            };
            if matches!(echo(stream), Ok(Stream::Ended) | Err(_)) {
                connections[place] = None;
            }
        }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, connections: &mut Vec<Option<TcpStream>>) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nodelay(true)?;
                poll.registry().register(&mut stream, Token(connections.len()), Interest::READABLE)?;
                connections.push(Some(stream));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

enum Stream {
    Open,
    Ended,
}

/// Sends back what is there. The event is an edge, so it reads until a read is short.
fn echo(stream: &mut TcpStream) -> io::Result<Stream> {
    let mut buffer = [0; 4_096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(Stream::Ended),
            Ok(bytes) => {
                stream.write_all(&buffer[..bytes])?;
                if bytes < buffer.len() {
                    return Ok(Stream::Open);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Stream::Open),
            Err(error) => return Err(error),
        }
    }
}
