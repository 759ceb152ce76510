//! Who answers, and takes its time.
//!
//! Each page takes the server the same time, however many are asked for at once: as a page does that waits for a database
//! elsewhere. So nothing but the asker's limits decides how long all of them take.
//!
//! ```text
//!   this thread: the steps ──► GET /page/17 ──► the site's thread: notes when ──► waits ──► 64 letters, 128 bytes
//! ```
//!
//! It serves until the process ends.
//! Not here: how requests are parsed and connections kept (`windlass::http`).   Next: `outcome`.

use std::{
    io, mem,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use windlass::{
    Loop,
    http::{Reply, Server, Url},
    time::Instant,
};

/// When each request came, in this order.
pub(crate) type Arrivals = Arc<Mutex<Vec<Instant>>>;

/// A site on a thread of its own.
#[derive(Debug)]
pub(crate) struct Site {
    address: SocketAddr,
    arrivals: Arrivals,
}

impl Site {
    /// Starts it: each page takes `delay`, and the first `failing` pages are never to be had.
    ///
    /// # Errors
    /// There is no thread, no descriptor or no port for it.
    pub(crate) fn start(delay: Duration, failing: u64) -> io::Result<Site> {
        let arrivals = Arrivals::default();
        let seen = Arc::clone(&arrivals);
        let (say, hear) = mpsc::channel();
        thread::Builder::new().name("site".to_owned()).spawn(move || {
            let served = Loop::new().and_then(|crank| {
                crank.block_on(async {
                    let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into())?;
                    let _heard = say.send(server.local_addr());
                    serve(server, delay, failing, seen).await
                })
            });
            // Before it listens, this is the answer that is waited for; later nobody hears it, and the steps find out.
            let _heard = say.send(served.and_then(|()| Err(io::Error::other("the site has closed"))));
        })?;
        let address = hear.recv().map_err(|_| io::Error::other("the site's thread ended before it listened"))??;
        Ok(Site { address, arrivals })
    }

    /// The URLs of its first pages.
    pub(crate) fn urls(&self, pages: u64) -> Vec<Rc<Url>> {
        urls(self.address, pages)
    }

    /// When requests came since this was last asked for.
    pub(crate) fn take_arrivals(&self) -> Vec<Instant> {
        mem::take(&mut self.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The URLs of the first pages at `address`.
pub(crate) fn urls(address: SocketAddr, pages: u64) -> Vec<Rc<Url>> {
    let url = |page| Url::parse(&format!("http://{address}/page/{page}")).expect("an address makes a host");
    (0..pages).map(|page| Rc::new(url(page))).collect()
}

/// Serves until it cannot accept any more.
///
/// # Errors
/// Those of accepting connections.
pub(crate) async fn serve(server: Server, delay: Duration, failing: u64, arrivals: Arrivals) -> io::Result<()> {
    let page = move |path: &str| match path.strip_prefix("/page/").and_then(|page| page.parse::<u64>().ok()) {
        None => Reply::not_found(),
        Some(page) if page < failing => Reply::text(503, "not now"),
        Some(_) => Reply::text(200, "ü".repeat(64)), // two bytes each: a size is no number of letters
    };
    let handler = move |request: &windlass::http::Incoming<'_>| {
        arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        page(request.path()).delay(delay)
    };
    server.run(handler).await
}
