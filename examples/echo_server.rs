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

use std::{io, net::SocketAddr, process::ExitCode};

use clap::Parser;
use windlass::net::{TcpListener, TcpStream};

/// Sends back whatever it is sent, over TCP, until Ctrl-C.
#[derive(Parser)]
#[command(name = "echo_server", version)]
struct Flags {
    /// Where to listen; port 0 lets the kernel choose one.
    #[arg(value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    address: SocketAddr,
    /// End when so many connections have come and gone.
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    connections: u64,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let address = flags.address;
    match windlass::Loop::new().and_then(|event_loop| event_loop.block_on(serve(flags))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_server: {address}: {error}");
            ExitCode::FAILURE
        }
    }
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
