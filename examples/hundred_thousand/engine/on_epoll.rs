//! Engine `epoll`: the floor.
//!
//! A figure says little without the best that could be. This is a client that only an experiment could use: every byte of
//! its request is made before the run, it sends with one system call, receives with one, and asks the kernel who is ready.
//! What it takes is what the kernel takes for sending, receiving and waiting, and next to nothing besides; so no client of
//! one thread on this kernel can be much below it, and other rows are read by their distance from it.
//!
//! ```text
//!     epoll_wait ──► connection i can be read ──► recv ──► all of Content-Length there? ──► send the next ──┐
//!         ▲                                                        no: keep the rest                        │
//!         └─────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! What it leaves out, others have to pay for: no tasks, no timers and so no time-out, no pool that could lend a connection
//! to anybody, no names (one address, looked up before the run), no parser: an answer is cut by its Content-Length and
//! judged by the first digit of its status. The clock is read once for all that one wait brings. A server that never
//! answers is waited for until Ctrl-C.
//! Not here: the same work for people who want their answers (`on_windlass`).   Next: `server`.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs},
    os::unix::net::UnixStream,
    str,
    time::Duration,
};

use mio::{Events, Interest, Poll, Token, event::Event, net::TcpStream};
use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use windlass::http::{Error, ErrorKind, Url};
use windlass_examples::latency::{Latency, now_ns};

use super::{Carried, on_sockets::Requests};
use crate::{
    binding::{Binding, Census},
    contract::{Connections, Endings, Plan, Word},
    window::{Failures, Seen, Spent},
};

/// As much as the other engines read at once.
const BUFFER: usize = 64 * 1024;
/// So many connections at once can be told to be ready, as in the other engines.
const EVENTS: usize = 1024;
/// So many connections are made at first, and one more with each answer: those that a listener's queue does not hold (4096 on
/// most machines) wait a second, and that is no floor.
const CONNECTING_MAX: usize = 1024;
/// Where word of Ctrl-C comes from; connections count up from zero.
const STOP: Token = Token(usize::MAX);

/// Where a host is that has no address.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    AllLeft,
    Interrupted,
}

struct Connection {
    stream: TcpStream,
    /// When the request that it carries entered the window, and when it was sent; none while it is being made.
    carries: Option<(u64, u64)>,
    /// Bytes of the answer that are still to come; none before its head is there.
    missing: Option<usize>,
    /// What came of a head that has not come whole.
    unfinished: Vec<u8>,
    /// How many requests it may still carry.
    left: u64,
}

struct Floor<'a> {
    plan: &'a Plan,
    poll: Poll,
    address: SocketAddr,
    requests: Requests,
    connections: Vec<Connection>,
    /// When the requests entered that wait for a connection, the first one first.
    waiting: VecDeque<u64>,
    connecting: u64,
    in_use_max: u64,
    opened: u64,
    answered: u64,
    bytes_in: u64,
    entered: u64,
    left: u64,
    ok: u64,
    failed: Failures,
    latency: Latency,
    exchange: Latency,
    connected_total_ns: u64,
}

/// Carries out `plan` on nothing but epoll.
///
/// # Errors
/// The kernel gives no epoll, or an answer has no Content-Length.
pub(crate) fn run(plan: &Plan, stop: UnixStream) -> io::Result<Carried> {
    let url = Url::parse(&plan.url).map_err(io::Error::other)?;
    let (address, unknown) = match look_up(&url) {
        Ok(address) => (address, None),
        Err(error) => (NOWHERE, Some(error)),
    };
    let mut floor = Floor::new(plan, &url, address)?;
    stop.set_nonblocking(true)?;
    let mut stop = mio::net::UnixStream::from_std(stop);
    floor.poll.registry().register(&mut stop, STOP, Interest::READABLE)?;

    let spent_before = Spent::so_far(plan.server)?;
    let started_ns = now_ns();
    let mut binding = Binding::new(plan.settings, started_ns);
    match unknown {
        None => floor.begin(started_ns)?,
        Some(error) => floor.give_up(&error),
    }
    let mut until = Until::AllLeft;
    let mut events = Events::with_capacity(EVENTS);
    let mut buffer = vec![0; BUFFER];
    let mut told = 0;
    while floor.left < plan.settings.requests && until == Until::AllLeft {
        match floor.poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            waited => waited?,
        }
        let now_ns = now_ns();
        for event in &events {
            match event.token() {
                STOP => until = Until::Interrupted,
                Token(index) => floor.serve(index, event, now_ns, &mut buffer)?,
            }
        }
        binding.note(now_ns, floor.census(), floor.entered - floor.left, plan.settings.requests - floor.entered);
        if floor.left / plan.progress_every > told || floor.left == plan.settings.requests {
            told = floor.left / plan.progress_every;
            let done = if floor.left == plan.settings.requests { floor.left } else { told * plan.progress_every };
            Word::Progress { done, elapsed_s: (now_ns - started_ns) as f64 / 1e9 }.say();
        }
    }
    let ended_ns = now_ns();
    binding.end(ended_ns);
    let spent = Spent::so_far(plan.server)?.since(spent_before);
    Ok(floor.carried(binding, spent, Duration::from_nanos(ended_ns - started_ns), until))
}

/// The first address of the URL's host.
fn look_up(url: &Url) -> Result<SocketAddr, Error> {
    let failed = |error| Error::io(ErrorKind::Resolve, format!("resolve {}", url.host()), error);
    let mut addresses = (url.host(), url.port()).to_socket_addrs().map_err(failed)?;
    addresses.next().ok_or_else(|| Error::new(ErrorKind::Resolve, format!("{} has no address", url.host())))
}

impl<'a> Floor<'a> {
    fn new(plan: &'a Plan, url: &Url, address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            plan,
            poll: Poll::new()?,
            address,
            requests: Requests::of(url).map_err(io::Error::other)?,
            connections: Vec::new(),
            waiting: VecDeque::new(),
            connecting: 0,
            in_use_max: 0,
            opened: 0,
            answered: 0,
            bytes_in: 0,
            entered: 0,
            left: 0,
            ok: 0,
            failed: Failures::default(),
            latency: Latency::new(),
            exchange: Latency::new(),
            connected_total_ns: 0,
        })
    }

    /// Fills the window, and opens connections.
    fn begin(&mut self, now_ns: u64) -> io::Result<()> {
        self.entered = self.plan.settings.in_window();
        self.waiting = (0..self.entered).map(|_| now_ns).collect();
        (0..CONNECTING_MAX).try_for_each(|_| self.connect_one_more())
    }

    /// Has every request fail as `error` says: there is nobody to ask.
    fn give_up(&mut self, error: &Error) {
        (self.entered, self.left) = (self.plan.settings.requests, self.plan.settings.requests);
        (0..self.left).for_each(|_| self.failed.count(error.kind(), error));
    }

    /// Makes another connection, if there are not all of them yet.
    fn connect_one_more(&mut self) -> io::Result<()> {
        let index = self.connections.len();
        if (index as u64) < self.plan.settings.connections() {
            let connection = self.connect(index)?;
            self.connections.push(connection);
        }
        Ok(())
    }

    fn connect(&mut self, index: usize) -> io::Result<Connection> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(self.address), kind, Some(Protocol::TCP))?;
        socket.set_tcp_quickack(false)?; // its request completes the handshake: a packet less
        if let Err(error) = socket.connect(&self.address.into())
            && error.raw_os_error() != Some(Errno::EINPROGRESS as i32)
        {
            return Err(error);
        }
        let mut stream = TcpStream::from_std(socket.into());
        self.poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        self.connecting += 1;
        let left = self.plan.settings.max_requests.unwrap_or(u64::MAX);
        Ok(Connection { stream, carries: None, missing: None, unfinished: Vec::new(), left })
    }

    fn census(&self) -> Census {
        let in_use = self.entered - self.left - self.waiting.len() as u64;
        Census { waiting: self.waiting.len() as u64, in_use: in_use + self.connecting, connecting: self.connecting }
    }

    /// Takes in what an event on connection `index` has brought.
    fn serve(&mut self, index: usize, event: &Event, now_ns: u64, buffer: &mut [u8]) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let Some((entered_ns, sent_ns)) = connection.carries else {
            return self.made(index, event, now_ns);
        };
        loop {
            let read = match connection.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return self.lost(index, now_ns, ErrorKind::Reset, &error),
                Ok(0) => {
                    let how = io::Error::other("the connection ended before the answer did");
                    return self.lost(index, now_ns, ErrorKind::Truncated, &how);
                }
                Ok(read) => read,
            };
            self.bytes_in += read as u64;
            match connection.take_in(&buffer[..read])? {
                Answer::Whole(status) => {
                    self.connect_one_more()?; // where an answer has come from, the listener's queue has room again
                    self.leave(sent_ns, now_ns);
                    self.answered += 1;
                    match status {
                        b'2' => self.succeed(entered_ns, sent_ns, now_ns),
                        digit => {
                            let how = format!("the server answered {}..", char::from(digit));
                            self.failed.count(ErrorKind::Status, &how);
                        }
                    }
                    return if self.connections[index].left > 0 {
                        self.send_next(index, now_ns)
                    } else {
                        self.renew(index)
                    };
                }
                // The kernel had no more: it will say when there is. An end that is there already it has said.
                Answer::Partly if read < buffer.len() && !event.is_read_closed() => return Ok(()),
                Answer::Partly => {}
            }
        }
    }

    /// The connection is there, or it has failed.
    fn made(&mut self, index: usize, event: &Event, now_ns: u64) -> io::Result<()> {
        if event.is_error()
            && let Some(error) = self.connections[index].stream.take_error()?
        {
            return self.lost(index, now_ns, ErrorKind::Connect, &error);
        }
        if !event.is_writable() {
            return Ok(()); // not yet
        }
        self.connecting -= 1;
        self.opened += 1;
        self.send_next(index, now_ns)
    }

    /// Has connection `index` carry the request that has waited longest; if none waits, it is left alone.
    fn send_next(&mut self, index: usize, now_ns: u64) -> io::Result<()> {
        let connection = &mut self.connections[index];
        connection.carries = self.waiting.pop_front().map(|entered_ns| (entered_ns, now_ns));
        if connection.carries.is_none() {
            // It would be told to be made once more otherwise, when the server closes it.
            return self.poll.registry().deregister(&mut connection.stream);
        }
        connection.left -= 1;
        let request = if connection.left > 0 { &self.requests.other } else { &self.requests.last };
        match connection.stream.write(request) {
            Ok(sent) if sent == request.len() => {}
            Ok(_) => return Err(io::Error::other("the kernel took a part of a request only")),
            Err(error) => return self.lost(index, now_ns, ErrorKind::Reset, &error),
        }
        self.in_use_max = self.in_use_max.max(self.entered - self.left - self.waiting.len() as u64);
        Ok(())
    }

    /// The connection is of no more use: the request that it carries, or the next one, has failed.
    fn lost(&mut self, index: usize, now_ns: u64, kind: ErrorKind, how: &io::Error) -> io::Result<()> {
        let sent_ns = match self.connections[index].carries {
            Some((_, sent_ns)) => Some(sent_ns),
            None => {
                self.connecting -= 1;
                // Where none waits any more, nobody's request has failed.
                self.waiting.pop_front().map(|_| now_ns)
            }
        };
        if let Some(sent_ns) = sent_ns {
            self.failed.count(kind, how);
            self.leave(sent_ns, now_ns);
        }
        self.renew(index)
    }

    /// Makes another connection in place of one that is over, if any request waits.
    fn renew(&mut self, index: usize) -> io::Result<()> {
        if self.waiting.is_empty() {
            return self.poll.registry().deregister(&mut self.connections[index].stream);
        }
        self.connections[index] = self.connect(index)?;
        Ok(())
    }

    /// One has left the window: the next one enters.
    fn leave(&mut self, sent_ns: u64, now_ns: u64) {
        self.left += 1;
        self.connected_total_ns += now_ns - sent_ns;
        if self.entered < self.plan.settings.requests {
            self.entered += 1;
            self.waiting.push_back(now_ns);
        }
    }

    fn succeed(&mut self, entered_ns: u64, sent_ns: u64, now_ns: u64) {
        self.ok += 1;
        self.latency.record(now_ns - entered_ns);
        self.exchange.record(now_ns - sent_ns);
    }

    fn carried(mut self, binding: Binding, spent: Spent, elapsed: Duration, until: Until) -> Carried {
        let unfinished = self.entered - self.left;
        self.failed.cancel(unfinished);
        Carried {
            connections: Some(Connections { opened: self.opened, reused: self.answered.saturating_sub(self.opened) }),
            in_flight_max: self.in_use_max,
            retries: 0,
            bytes_in: self.bytes_in,
            turns: None,
            would_block: None,
            seen: Seen {
                entered: self.entered,
                unfinished,
                ok: self.ok,
                failed: self.failed,
                elapsed,
                spent,
                latency: self.latency,
                exchange: self.exchange,
                connected_total_ns: self.connected_total_ns,
                binding,
                pace: None,
                endings: Endings::new(),
                interrupted: until == Until::Interrupted,
            },
        }
    }
}

/// How far an answer is.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Partly,
    /// With the first digit of its status.
    Whole(u8),
}

impl Connection {
    /// Takes in what was received.
    fn take_in(&mut self, came: &[u8]) -> io::Result<Answer> {
        if let Some(missing) = self.missing {
            return Ok(self.count_body(missing, came.len()));
        }
        if self.unfinished.is_empty()
            && let Some(len) = answer_len(came)?
        {
            self.unfinished.extend_from_slice(&came[..STATUS_END]);
            return Ok(self.count_body(len, came.len()));
        }
        self.unfinished.extend_from_slice(came);
        match answer_len(&self.unfinished)? {
            None => Ok(Answer::Partly),
            Some(len) => Ok(self.count_body(len, self.unfinished.len())),
        }
    }

    fn count_body(&mut self, missing: usize, came: usize) -> Answer {
        match missing.saturating_sub(came) {
            0 => {
                let status = self.unfinished[STATUS];
                self.missing = None;
                self.unfinished.clear();
                Answer::Whole(status)
            }
            rest => {
                self.missing = Some(rest);
                Answer::Partly
            }
        }
    }
}

/// Where the first digit of the status is: `HTTP/1.1 200`.
const STATUS: usize = 9;
const STATUS_END: usize = 12;

/// How long the answer is that begins with `bytes`, head and body together; none if its head is not complete.
fn answer_len(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    const NAME: &[u8] = b"content-length:";
    let mut lines = bytes[..end].split(|&byte| byte == b'\n').skip(1);
    let line = lines.find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME));
    let value = line.and_then(|line| str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse::<usize>().ok());
    match value.filter(|_| end >= STATUS_END) {
        Some(body) => Ok(Some(end + 4 + body)),
        None => Err(io::Error::other("engine epoll cuts answers by their Content-Length, and this one has none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 404 Not Found\r\nServer: x\r\ncontent-LENGTH: 5\r\n\r\nhello";

    fn connection() -> Connection {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Connection { stream, carries: None, missing: None, unfinished: Vec::new(), left: 1 }
    }

    #[test]
    fn an_answer_is_whole_when_its_last_byte_is_there_however_it_was_cut() {
        let mut connection = connection();
        for cut in 1..ANSWER.len() {
            for _ in 0..2 {
                assert_eq!(connection.take_in(&ANSWER[..cut]).unwrap(), Answer::Partly, "cut at {cut}");
                assert_eq!(connection.take_in(&ANSWER[cut..]).unwrap(), Answer::Whole(b'4'), "cut at {cut}");
            }
        }
        assert_eq!(connection.take_in(ANSWER).unwrap(), Answer::Whole(b'4'));
    }

    #[test]
    fn what_has_no_length_is_refused_in_words() {
        for bytes in [&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..], b"HTTP/1.1 204 No Content\r\n\r\n"]
        {
            assert!(answer_len(bytes).unwrap_err().to_string().contains("Content-Length"));
        }
        assert_eq!(answer_len(&ANSWER[..20]).unwrap(), None);
    }
}
