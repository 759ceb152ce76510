//! Sends back whatever it is sent.
//!
//! One task accepts connections and spawns a task for each. A task is a plain `async` function that reads and writes as if
//! it were alone; ten thousand of them share one thread.
//!
//! ```text
//!     accept ──► spawn echo(stream) ──► read ──► write_all ─┐
//!       ▲  └──────── next ──────┘          ▲                │
//!       └──────────────                    └────────────────┘   until the peer closes
//! ```
//!
//! Run it: `cargo run --example echo_server -- 127.0.0.1:7000`, then `nc 127.0.0.1 7000`. It serves until Ctrl-C; with
//! `--connections N` it ends when N connections have come and gone.   Next: `sleep_sort`.

use std::{env, error::Error, io, net::SocketAddr};

use windlass::net::{TcpListener, TcpStream};

fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse(env::args().skip(1))?;
    let event_loop = windlass::Loop::new()?;
    event_loop.block_on(serve(flags))?;
    Ok(())
}

async fn serve(flags: Flags) -> io::Result<()> {
    let listener = TcpListener::bind(flags.address)?;
    println!("listening at {}", listener.local_addr()?);
    let mut served = Vec::new();
    for _ in 0..flags.connections {
        let (stream, peer) = listener.accept().await?;
        let served_now = windlass::spawn(async move {
            match echo(stream).await {
                Ok(bytes) => println!("{peer}: {bytes} bytes"),
                Err(error) => println!("{peer}: {error}"),
            }
        });
        if flags.connections < u64::MAX {
            served.push(served_now); // the others are left to themselves: dropping a handle detaches its task
        }
    }
    for connection in served {
        connection.await.map_err(io::Error::other)?;
    }
    Ok(())
}

/// Sends everything back until the peer closes its side; yields how much that was.
async fn echo(mut stream: TcpStream) -> io::Result<u64> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    let mut total = 0;
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(total);
        }
        stream.write_all(&buffer[..read]).await?;
        total += read as u64;
    }
}

const USAGE: &str = "usage: echo_server [ADDRESS:PORT] [--connections N]";

/// The command line: an address, and how many connections to serve.
struct Flags {
    address: SocketAddr,
    connections: u64,
}

impl Flags {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut flags = Self { address: "127.0.0.1:0".parse()?, connections: u64::MAX };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--connections" => {
                    let number = arguments.next().and_then(|number| number.parse().ok());
                    flags.connections = number.ok_or("--connections takes a number")?;
                }
                address => flags.address = address.parse().map_err(|error| format!("{address}: {error}; {USAGE}"))?,
            }
        }
        Ok(flags)
    }
}
