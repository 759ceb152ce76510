//! What it took.
//!
//! One block for each run, then the engines side by side, then where the difference comes from.
//!
//! ```text
//!     windlass ─┐                       the loop, by what tokio-raw and windlass differ in
//!     tokio-raw ┼─► medians ─► ratio ─►
//!     tokio ────┘                       the HTTP layer, by what tokio and tokio-raw differ in
//! ```
//!
//! Not here: the figures themselves, which the engines' processes told.   Next: `page`.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use windlass_examples::{
    figures::{median, percent, seconds, spread, thousands},
    latency::Summary,
};

use crate::{
    binding::Little,
    contract::{
        BytesOf, Comparison, Connections, EngineName, HeldBack, Late, Limit, Pace, Report, Run, Settings, Told,
    },
    counts::Counts,
    flags::Flags,
    schedule::TOLERANCE_MS,
};

/// Above this share of its core, the server was what the run waited for.
const SERVER_BUSY: f64 = 0.95;

/// The JSON object of the contract.
pub(crate) fn contract<'a>(target: &'a str, flags: &Flags, runs: &'a [Told], counts: Option<&'a Counts>) -> Report<'a> {
    Report {
        program: "hundred_thousand",
        version: env!("CARGO_PKG_VERSION"),
        target,
        settings: flags.settings(),
        runs: runs.iter().map(|told| &told.run).collect(),
        comparison: compare(runs),
        held_back: flags.article.then(|| held_back(runs, flags.settings())),
        counts,
    }
}

/// One run, for people.
pub(crate) fn run_in_words(told: &Told, settings: Settings) -> String {
    let mut out = String::new();
    write_run(&mut out, told, settings).expect("a string takes everything");
    out
}

/// The engines side by side, for people, and what held each back.
pub(crate) fn comparison_in_words(runs: &[Told], settings: Settings) -> String {
    let mut out = String::new();
    if runs.len() > 1 {
        write_comparison(&mut out, runs, settings).expect("a string takes everything");
    }
    write_held_back(&mut out, &held_back(runs, settings), settings).expect("a string takes everything");
    out
}

/// Holds a run against the server's script, if there is one; yields what must not be overlooked.
///
/// That is, if there is no script, failures by kind with the first of each; if there is, requests that ended otherwise; and
/// in any case descriptors left open.
pub(crate) fn judge(told: &mut Told, settings: Settings) -> Vec<String> {
    let mut complaints = match settings.faults.filter(|_| !told.interrupted) {
        None => failures(told),
        Some(script) => {
            let (judged, differences) = script.judge(told);
            told.run.faults = Some(judged);
            differences
        }
    };
    let left_open = told.descriptors_before.zip(told.descriptors_after).filter(|(before, after)| before != after);
    complaints.extend(left_open.map(|(before, after)| {
        format!("{}: {before} descriptors were open before the run, {after} after", told.run.engine)
    }));
    complaints
}

fn failures(told: &Told) -> Vec<String> {
    let run = &told.run;
    let failed = run.failed.iter().filter(|(_, count)| **count > 0);
    let in_words = failed.map(|(name, count)| {
        let first = told.first_failures.get(name).map_or("", String::as_str);
        format!("{}: {} failed as {}: {first}", run.engine, thousands(*count), name)
    });
    in_words.collect()
}

fn write_run(out: &mut String, told: &Told, settings: Settings) -> fmt::Result {
    let run = &told.run;
    let share = |limit| run.limits.get(&limit).copied();
    let cpu_s = run.user_s + run.sys_s;
    writeln!(
        out,
        "{}, round {}: {} of {} ok, {} failed, in {}: {} requests/s{}",
        run.engine,
        run.round,
        thousands(run.ok),
        thousands(run.requests),
        thousands(run.failures()),
        seconds(run.elapsed_s),
        thousands(run.requests_per_s as u64),
        if told.interrupted { " (interrupted)" } else { "" }
    )?;
    if run.ok > 0 {
        // Without a schedule the two are what --help says they are; with one the first is another.
        let from = |when: &'static str| if run.pace.is_some() { when } else { "" };
        writeln!(out, "  latency      {}{}", spans(&run.latency_us), from(", from when each was to begin"))?;
        writeln!(out, "  exchange     {}{}", spans(&run.exchange_us), from(", from having a connection"))?;
    }
    writeln!(
        out,
        "  in flight    at most {}, on average {}; {} in the window",
        thousands(run.in_flight.max),
        run.in_flight.mean.map_or_else(|| "not known".to_owned(), |mean| format!("{mean:.1}")),
        thousands(settings.in_window())
    )?;
    for (limit, words) in [
        (Limit::PerHost, "of the time requests waited for one of the connections to the host"),
        (Limit::Concurrency, "of the time the window was full and none waited"),
        (Limit::Connect, "of the time requests waited for connections to be made"),
        (Limit::BatchBarrier, "of the time a batch waited at its barrier"),
        (Limit::Rate, "of the time only the schedule kept requests from beginning"),
    ] {
        if let Some(held) = share(limit).filter(|held| *held >= 0.01) {
            writeln!(out, "               {} {words}", percent(held))?;
        }
    }
    if settings.batch.is_some() {
        writeln!(out, "               {} of the connections' time was idle at barriers", percent(told.barrier_idle))?;
    }
    if let Some(Pace { asked_per_s, reached_per_s, late: Late { window_full, busy_loop }, late_us }) = run.pace {
        writeln!(
            out,
            "  schedule     {asked_per_s} requests/s asked, {reached_per_s} reached; {} of {} began late (by more than \
             {TOLERANCE_MS} ms): {} since the window was full, {} since the loop came late",
            thousands(window_full + busy_loop),
            thousands(run.requests),
            thousands(window_full),
            thousands(busy_loop)
        )?;
        writeln!(out, "  lateness     {}", spans(&late_us))?;
    }
    if let Some(judged) = &run.faults {
        let differ = match judged.differ {
            0 => "every request ended as the server's script says".to_owned(),
            differ => format!("{} requests ended otherwise than the server's script says", thousands(differ)),
        };
        writeln!(out, "  faults       {differ}: {}", judged.in_words())?;
    }
    let connections = match run.connections {
        Some(Connections { opened, reused }) => {
            format!("{} opened, {} times reused", thousands(opened), thousands(reused))
        }
        None => "it does not tell".to_owned(),
    };
    let (retries, bytes_in) = (thousands(run.retries), thousands(run.bytes_in));
    let bytes_of = match run.bytes_in_of {
        BytesOf::Wire => "",
        BytesOf::Bodies => ", of bodies alone",
    };
    writeln!(out, "  connections  {connections}, {retries} retries; {bytes_in} bytes in{bytes_of}")?;
    writeln!(
        out,
        "  CPU          {}: user {}, system {}; {} a request; {} of the engine's core",
        seconds(cpu_s),
        seconds(run.user_s),
        seconds(run.sys_s),
        seconds(run.cpu_per_request_s()),
        percent(share(Limit::Loop).unwrap_or_default())
    )?;
    writeln!(
        out,
        "  memory       {} kB at most; descriptors: {} before, {} after",
        thousands(run.peak_rss_kb),
        told.descriptors_before.map_or_else(|| "unknown".to_owned(), thousands),
        told.descriptors_after.map_or_else(|| "unknown".to_owned(), thousands)
    )?;
    if let Some(turns) = run.turns {
        let each = |count: u64| count as f64 / run.requests.max(1) as f64;
        writeln!(
            out,
            "  loop         {} ticks; a request: {:.2} polls, {:.2} wakes, {:.2} system calls",
            thousands(turns.ticks),
            each(turns.polls),
            each(turns.wakes),
            each(turns.syscalls)
        )?;
    }
    if let Some(busy) = share(Limit::Server) {
        let verdict = if busy > SERVER_BUSY { ": it was the limit of this run" } else { "" };
        writeln!(out, "  server       busy {} of its core's time{verdict}", percent(busy))?;
    }
    Ok(())
}

fn spans(summary: &Summary) -> String {
    let span = |us: u64| seconds(us as f64 / 1e6);
    format!(
        "mean {}, p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
        seconds(summary.mean / 1e6),
        span(summary.p50),
        span(summary.p90),
        span(summary.p99),
        span(summary.p999),
        span(summary.max)
    )
}

/// An engine's rounds that went to their end; or why they are no measure.
pub(crate) type Row<'a> = Result<Vec<&'a Run>, String>;

/// The rounds by engine. What fails takes no time like what succeeds, so that one round with failures makes all of the
/// engine's void: without it they would be its better ones. An interrupted round is left out.
pub(crate) fn rows(runs: &[Told]) -> BTreeMap<EngineName, Row<'_>> {
    let mut by_engine: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for told in runs {
        by_engine.entry(told.run.engine).or_default().push(told);
    }
    by_engine.into_iter().map(|(engine, rounds)| (engine, row(&rounds))).collect()
}

fn row<'a>(rounds: &[&'a Told]) -> Row<'a> {
    let whole: Vec<_> = rounds.iter().filter(|told| !told.interrupted).map(|told| &told.run).collect();
    // With a script, failures are what it wants, and others are what it does not.
    let amiss = |run: &Run| run.faults.as_ref().map_or_else(|| run.failures(), |judged| judged.differ);
    match whole.iter().find(|run| amiss(run) > 0) {
        Some(run) => {
            let (amiss, requests, round) = (thousands(amiss(run)), thousands(run.requests), run.round);
            let how = if run.faults.is_some() { "ended otherwise than the script says" } else { "failed" };
            Err(format!("round {round}: {amiss} of {requests} requests {how}"))
        }
        None if whole.is_empty() => Err("interrupted before a round had ended".to_owned()),
        None => Ok(whole),
    }
}

/// The rounds of those whose row is not void.
pub(crate) fn whole_runs(runs: &[Told]) -> BTreeMap<EngineName, Vec<&Run>> {
    rows(runs).into_iter().filter_map(|(engine, row)| Some((engine, row.ok()?))).collect()
}

fn median_of(runs: &[&Run], figure: impl Fn(&Run) -> f64) -> f64 {
    median(&runs.iter().map(|run| figure(run)).collect::<Vec<_>>())
}

fn spread_of(runs: &[&Run], figure: impl Fn(&Run) -> f64) -> f64 {
    spread(&runs.iter().map(|run| figure(run)).collect::<Vec<_>>())
}

fn compare(runs: &[Told]) -> Vec<Comparison> {
    let whole_runs = whole_runs(runs);
    let medians: BTreeMap<_, _> =
        whole_runs.iter().map(|(engine, runs)| (*engine, median_of(runs, |run| run.elapsed_s))).collect();
    let beside = |engine: EngineName, median_s: f64| {
        let others = medians.iter().filter(|(other, _)| **other != engine);
        others.map(|(other, other_s)| (other.as_str(), (other_s / median_s * 1000.0).round() / 1000.0)).collect()
    };
    let compared = |(engine, row): (EngineName, Row<'_>)| match row {
        Err(why) => Comparison { engine, median_s: None, spread: None, ratio_to: BTreeMap::new(), void: Some(why) },
        Ok(rounds) => Comparison {
            engine,
            median_s: Some(medians[&engine]),
            spread: Some((spread_of(&rounds, |run| run.elapsed_s) * 1000.0).round() / 1000.0),
            ratio_to: beside(engine, medians[&engine]),
            void: None,
        },
    };
    rows(runs).into_iter().map(compared).collect()
}

fn write_comparison(out: &mut String, runs: &[Told], settings: Settings) -> fmt::Result {
    let by_engine = whole_runs(runs);
    let rounds = by_engine.values().map(Vec::len).max().unwrap_or(0);
    let of_first = runs.iter().map(|told| told.run.engine).find(|engine| by_engine.contains_key(engine));
    let base = if by_engine.contains_key(&EngineName::Tokio) { Some(EngineName::Tokio) } else { of_first };
    let Some(base) = base else {
        writeln!(out, "comparison: there is nothing to compare")?;
        return write_void_rows(out, runs);
    };
    let time_s = |engine: &EngineName| median_of(&by_engine[engine], |run| run.elapsed_s);
    let base_s = time_s(&base);
    writeln!(
        out,
        "comparison with {base}, {}",
        if rounds == 1 {
            "one round".to_owned()
        } else {
            format!("medians of {rounds} rounds, ± the median distance from the median")
        }
    )?;
    writeln!(
        out,
        "  engine        time     ±  requests/s   ratio    saved   CPU/request      user    system       p99    memory"
    )?;
    for (engine, rounds) in &by_engine {
        let requests = median_of(rounds, |run| run.requests as f64);
        writeln!(
            out,
            "  {:<9} {:>8} {:>5} {:>11} {:>6.2}x {:>8} {:>13} {:>9} {:>9} {:>9} {:>6.0} MB",
            engine,
            seconds(time_s(engine)),
            if rounds.len() == 1 { "-".to_owned() } else { percent(spread_of(rounds, |run| run.elapsed_s)) },
            thousands((requests / time_s(engine)) as u64),
            base_s / time_s(engine),
            percent(1.0 - time_s(engine) / base_s),
            seconds(median_of(rounds, Run::cpu_per_request_s)),
            seconds(median_of(rounds, |run| run.user_s / run.requests.max(1) as f64)),
            seconds(median_of(rounds, |run| run.sys_s / run.requests.max(1) as f64)),
            seconds(median_of(rounds, |run| run.latency_us.p99 as f64) / 1e6),
            median_of(rounds, |run| run.peak_rss_kb as f64) / 1e3
        )?;
    }
    write_void_rows(out, runs)?;
    if settings.rate.is_some() {
        writeln!(out, "  the schedule sets the time: engines that keep to it differ in latency and in CPU alone")?;
    }
    write_difference(out, &by_engine)
}

fn write_void_rows(out: &mut String, runs: &[Told]) -> fmt::Result {
    let rows = rows(runs);
    let mut void = rows.iter().filter_map(|(engine, row)| Some((engine, row.as_ref().err()?)));
    void.try_for_each(|(engine, why)| writeln!(out, "  {engine:<9} void: {why}"))
}

/// Where the difference between `windlass` and `tokio` comes from, if the engine between them ran too.
fn write_difference(out: &mut String, by_engine: &BTreeMap<EngineName, Vec<&Run>>) -> fmt::Result {
    let cpu_s = |engine| by_engine.get(&engine).map(|runs| median_of(runs, Run::cpu_per_request_s));
    let figures = (cpu_s(EngineName::Windlass), cpu_s(EngineName::TokioRaw), cpu_s(EngineName::Tokio));
    let (Some(windlass), Some(by_hand), Some(hyper)) = figures else {
        return Ok(());
    };
    let signed = |span_s: f64| format!("{:+.1} µs", span_s * 1e6);
    writeln!(out, "CPU a request, from tokio to windlass: {} in all", signed(windlass - hyper))?;
    writeln!(
        out,
        "  the HTTP layer {:>10}   tokio to tokio-raw: the same loop, HTTP by hand",
        signed(by_hand - hyper)
    )?;
    writeln!(
        out,
        "  the loop       {:>10}   tokio-raw to windlass: HTTP as thin, the other loop",
        signed(windlass - by_hand)
    )
}

/// What held each engine back, and what Little's law says of it; medians of its whole runs.
pub(crate) fn held_back(runs: &[Told], settings: Settings) -> Vec<HeldBack> {
    let of_engine = |(engine, runs): (EngineName, Vec<&Run>)| {
        let limits = runs[0].limits.keys();
        let share = |limit: &Limit| median_of(&runs, |run| run.limits.get(limit).copied().unwrap_or(0.0));
        HeldBack {
            engine,
            limits: limits.map(|limit| (*limit, share(limit))).collect(),
            little: Little::of(settings, median_of(&runs, |run| run.requests_per_s)),
            in_flight_mean: median_of(&runs, |run| run.in_flight.mean.unwrap_or_default()), // whole runs know it
            latency_s: median_of(&runs, |run| run.latency_us.mean) / 1e6,
            exchange_s: median_of(&runs, |run| run.exchange_us.mean) / 1e6,
        }
    };
    whole_runs(runs).into_iter().map(of_engine).collect()
}

fn write_held_back(out: &mut String, engines: &[HeldBack], settings: Settings) -> fmt::Result {
    if engines.is_empty() {
        return Ok(());
    }
    let columns = [Limit::PerHost, Limit::Concurrency, Limit::Connect, Limit::BatchBarrier, Limit::Rate];
    let columns = columns.iter().filter(|limit| match limit {
        Limit::BatchBarrier => settings.batch.is_some(),
        Limit::Rate => settings.rate.is_some(),
        _ => true,
    });
    let columns: Vec<_> = columns.chain(&[Limit::Loop, Limit::Server]).collect();
    writeln!(out, "what held the work back: shares of the time, and how busy each side's core was")?;
    write!(out, "  engine   ")?;
    columns.iter().try_for_each(|limit| write!(out, " {:>13}", limit.name()))?;
    writeln!(out, "   in flight")?;
    for row in engines {
        write!(out, "  {:<9}", row.engine)?;
        for limit in &columns {
            let share = row.limits.get(limit).map_or_else(|| "-".to_owned(), |share| percent(*share));
            write!(out, " {share:>13}")?;
        }
        writeln!(out, " {:>11.1}", row.in_flight_mean)?;
    }
    Ok(())
}

/// Latency by the settings and by measurement, for people; empty where no run was whole.
pub(crate) fn little_in_words(runs: &[Told], settings: Settings) -> String {
    let mut out = String::new();
    write_little(&mut out, &held_back(runs, settings)).expect("a string takes everything");
    out
}

fn write_little(out: &mut String, engines: &[HeldBack]) -> fmt::Result {
    let [HeldBack { little, .. }, ..] = engines else {
        return Ok(());
    };
    writeln!(
        out,
        "what the settings say: {} in the window, and {} of them with a connection at most. By Little's law each takes as \
         many times\n  the run's time by the number of requests, if there are always so many; that time itself is no latency",
        thousands(little.in_window),
        thousands(little.connections)
    )?;
    if let Some(most) = little.requests_per_s_max {
        writeln!(out, "  the server's delay allows {} requests/s at most", thousands(most as u64))?;
    }
    writeln!(out, "  engine     latency: by the law   measured   exchange: by the law   measured   time / requests")?;
    for HeldBack { engine, little, latency_s, exchange_s, .. } in engines {
        writeln!(
            out,
            "  {engine:<9} {:>20} {:>10} {:>22} {:>10} {:>17}",
            seconds(little.latency_s),
            seconds(*latency_s),
            seconds(little.exchange_s),
            seconds(*exchange_s),
            seconds(little.elapsed_by_requests_s)
        )?;
    }
    Ok(())
}
