//! The second step: one client, all at once.
//!
//! A task for each URL, and then wait for all of them. While one waits for its answer the others ask:
//!
//! ```text
//!   task 0   ask ─ ........ 1 s ........ ─ read ─┤
//!   task 1    ask ─ ........ 1 s ........ ─ read ─┤
//!   task 2     ask ─ ........ 1 s ........ ─ read ─┤        what is over the client's limit waits in line
//! ```
//!
//! A hundred URLs take as long as one. What this step lacks is not speed: whatever fails,
//! fails, and a slow host is sent everything at once.
//!
//! Next: `optimised`.

use std::rc::Rc;

use windlass::{
    http::{Client, Error, Url},
    spawn,
    task::gather_all,
};

use crate::{
    flags::Plan,
    outcome::{Outcomes, Page},
};

/// Fetches `urls` by one client.
pub(crate) async fn crawl(urls: &[Rc<Url>], plan: &Plan, outcomes: &Outcomes) {
    let client = client(plan);
    let tasks = urls.iter().enumerate().map(|(position, url)| {
        let (client, url, outcomes) = (client.clone(), Rc::clone(url), outcomes.clone());
        spawn(async move { outcomes.put(position, &url, fetch(&client, &url).await, 1) })
    });
    for ended in gather_all(tasks.collect::<Vec<_>>()).await {
        ended.expect("fetching does not panic");
    }
}

/// A client with the limits of `plan`.
pub(crate) fn client(plan: &Plan) -> Client {
    let limits = plan.limits;
    // As in aiohttp, 0 is no limit.
    let (all, per_host) = (limits.at_once as usize, limits.per_host.unwrap_or(0) as usize);
    Client::builder().limit(all).limit_per_host(per_host).timeout(plan.timeout).build()
}

/// Fetches one page.
///
/// # Errors
/// Those of the client.
pub(crate) async fn fetch(client: &Client, url: &Url) -> Result<Page, Error> {
    let answer = client.get(url).send().await?;
    Ok(Page { status: answer.status(), size: answer.drain().await? })
}
