//! On what, and beside whom: a figure without its machine says little.
//!
//! Processor, kernel, compiler, the versions of the sides (from the lock file this program was built with), and the load
//! average, since a busy machine makes every ratio suspect.
//!
//! Next: `args`.

use std::process::Command;

use crate::work::cores;

/// The lines above the table.
pub(crate) fn describe(load_before: &str) -> Vec<String> {
    vec![
        format!("machine   {}, {} cores, {}", processor(), cpus(), memory()),
        format!("kernel    Linux {}", first_line("/proc/sys/kernel/osrelease")),
        format!("compiler  {}", rustc()),
        format!("versions  {}", versions()),
        format!("load      {load_before} before, {} after (1, 5 and 15 minutes)", load()),
        format!("pinned    {}", pinned()),
    ]
}

/// The load averages of 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let line = first_line("/proc/loadavg");
    line.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    model.unwrap_or(std::env::consts::ARCH).to_owned()
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn memory() -> String {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = text.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<f64>().ok());
    kilobytes.map_or_else(|| "memory unknown".to_owned(), |kilobytes| format!("{:.0} GB", kilobytes * 1024.0 / 1e9))
}

fn first_line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or("unknown").to_owned()
}

fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let text = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    text.map_or_else(|| "unknown: no rustc to ask".to_owned(), |text| text.trim().to_owned())
}

/// `name version` of the crates that are compared, as cargo locked them.
fn versions() -> String {
    const LOCK: &str = include_str!("../../Cargo.lock");
    let version = |name: &str| {
        let at = LOCK.find(&format!("name = \"{name}\"\n"))?;
        LOCK[at..].split('"').nth(3)
    };
    let names =
        ["windlass", "tokio", "smol", "async-executor", "async-io", "async-lock", "async-channel", "local-sync", "mio"];
    let known = names.iter().filter_map(|name| Some(format!("{name} {}", version(name)?)));
    known.collect::<Vec<_>>().join(", ")
}

fn pinned() -> &'static str {
    if cores::are_two() {
        "the side under test to one core, what it talks to to another"
    } else {
        "NO: there is one core only, and the two processes share it"
    }
}
