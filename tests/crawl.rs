//! crawl, as anybody would run it.
//!
//! Which pages are fetched is told beside the program (`examples/crawl/tests.rs`); here is what the command line promises:
//! its report, its output, its exit codes.
//!
//! Not here: the crawl itself.   Next: `examples/crawl/main.rs`.

#![allow(clippy::unwrap_used)] // a story that cannot go on says where it stopped

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener},
    process::{Command, Output, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use windlass::{
    Loop,
    http::{Reply, Server},
};
use windlass_tests::{program::program, servers::Folder};

fn crawl(line: &str) -> Output {
    Command::new(program("crawl")).args(line.split_whitespace()).stdin(Stdio::null()).output().unwrap()
}

fn json(line: &str) -> (Option<i32>, Value) {
    let output = crawl(&format!("--json {line}"));
    let text = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}")))
}

fn sum(of: &Value) -> u64 {
    of.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

#[test]
fn where_stderr_takes_nothing_the_exit_code_says_what_there_is_to_say() {
    let lost = "--site-pages 20 --output -"; // the report, which goes there
    for (line, code) in [(lost, 1), ("--site-pages 20 --state /proc/nowhere", 1), ("nothing:to-crawl", 2)] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(program("crawl"));
        let status = command.args(line.split_whitespace()).stdout(Stdio::null()).stderr(full).status().unwrap();
        assert_eq!(status.code(), Some(code), "{line}");
    }
}

#[test]
fn the_report_adds_up_and_has_what_its_contract_names() {
    for engine in ["windlass", "tokio"] {
        let (code, report) = json(&format!("--engine {engine} --site-pages 300"));
        assert_eq!((code, &report["program"]), (Some(0), &"crawl".into()));
        let pages = report["pages"].as_u64().unwrap();
        assert_eq!(report["ok"].as_u64().unwrap() + sum(&report["failed"]), pages);
        assert_eq!(sum(&report["status"]), pages, "each of them was answered");
        let of_hosts = report["hosts"].as_array().unwrap();
        assert_eq!(of_hosts.iter().map(|host| host["pages"].as_u64().unwrap()).sum::<u64>(), pages);
        for name in ["elapsed_s", "pages_per_s", "bytes_wire", "bytes_decoded"] {
            assert!(report[name].as_f64().unwrap() > 0.0, "{name}");
        }
        let limits = report["limits"].as_object().unwrap();
        assert!(limits.values().all(|share| (0.0..=1.05).contains(&share.as_f64().unwrap())), "{limits:?}");
        assert_eq!(report["loop"].is_object(), engine == "windlass");
        assert_eq!(report["loop"]["poll_max_us"].as_f64().is_some_and(|longest| longest > 0.0), engine == "windlass");
        assert!(report["latency_us"]["p99"].as_u64().unwrap() > 0);
    }
}

#[test]
fn the_output_has_a_line_for_each_page() {
    let folder = Folder::new();
    let file = folder.path().join("pages.jsonl");
    let (code, report) = json(&format!("--site-pages 200 --output {}", file.display()));
    assert_eq!(code, Some(0));
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let urls: BTreeSet<_> = lines.iter().map(|line| line["url"].as_str().unwrap()).collect();
    assert_eq!((lines.len(), lines.len() as u64), (urls.len(), report["pages"].as_u64().unwrap()));
    let first = lines.iter().find(|line| line["depth"] == 0).unwrap();
    assert_eq!((&first["status"], &first["parent"], &first["error"]), (&200.into(), &Value::Null, &Value::Null));
    let is_known = |url: &str| urls.contains(url) || url.contains("/map"); // the sitemaps have no lines
    assert!(lines.iter().all(|line| line["depth"] == 0 || is_known(line["parent"].as_str().unwrap())));
}

#[test]
fn so_many_pages_are_so_many_and_the_rest_is_counted() {
    let (_, report) = json("--site-pages 1000 --max-pages 25 --concurrency 10");
    assert_eq!(report["pages"], 25);
    assert!(report["skipped"]["budget"].as_u64().unwrap() > 0);
}

#[test]
fn on_its_own_site_all_hosts_are_home_unless_the_scope_is_said_to_be_one() {
    for (scope, hosts) in [("", 4), ("--scope any", 4), ("--scope host", 1)] {
        let (_, report) = json(&format!("--site-pages 100 {scope}"));
        assert_eq!(report["hosts"].as_array().unwrap().len(), hosts, "{scope}");
    }
}

#[test]
fn pages_that_fail_have_taken_their_time_too_by_littles_law() {
    let at = serve(|_, _| Reply::text(404, "").delay(Duration::from_millis(200)));
    let urls: Vec<_> = (0..24).map(|page| format!("{at}/{page}")).collect();
    let (_, report) = json(&format!("--ignore-robots --max-depth 0 {}", urls.join(" ")));
    assert_eq!((&report["ok"], &report["failed"]["status"]), (&0.into(), &24.into()));
    let [by_law, measured] = ["in_flight_by_littles_law", "in_flight_mean"].map(|name| report[name].as_f64().unwrap());
    assert!((by_law / measured - 1.0).abs() < 0.2, "nothing else was under way: {by_law}, {measured}");
}

#[test]
fn of_a_page_whose_type_was_not_asked_for_the_body_is_left() {
    for engine in ["windlass", "tokio"] {
        let folder = Folder::new();
        let file = folder.path().join("pages.jsonl");
        let types = "--type text/html --type text/plain";
        let (_, report) = json(&format!("--site-pages 300 --engine {engine} {types} --output {}", file.display()));
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let answered = lines.filter(|line| line["status"] == 200 && line["error"].is_null());
        let (taken, left): (Vec<_>, Vec<_>) =
            answered.partition(|line| line["type"].as_str().is_some_and(|says| says.starts_with("text/")));
        assert!(left.iter().all(|line| line["bytes_decoded"] == 0), "{engine}: {left:?}");
        assert!(taken.iter().any(|line| line["bytes_decoded"] != 0) && !left.is_empty(), "{engine}");
        assert_eq!(report["skipped"]["type"], left.len(), "{engine}");
    }
}

#[test]
fn a_page_is_read_to_its_end_though_all_that_is_sent_of_it_has_come_long_before() {
    // Brotli of 200,017 bytes: "<p>", a lot of x, "<a href=/last>".
    const PACKED: &[u8] = &[
        91, 80, 13, 131, 222, 56, 201, 212, 175, 79, 233, 195, 3, 87, 47, 120, 169, 136, 48, 167, 21, 2, 218, 249, 4,
        3, 173, 220, 85, 161, 179, 1,
    ];
    let at = serve(|_, target| match target {
        "/" => Reply::bytes(200, PACKED).header("Content-Type", "text/html").header("Content-Encoding", "br"),
        "/robots.txt" => Reply::text(404, ""),
        _ => Reply::text(200, ""),
    });
    for engine in ["windlass", "tokio"] {
        let (_, report) = json(&format!("--engine {engine} --no-sitemaps {at}/"));
        assert_eq!((&report["ok"], &report["bytes_decoded"]), (&2.into(), &200_017.into()), "{engine}: {report}");
    }
}

#[test]
fn it_begins_with_all_the_urls_of_a_file_and_another_crawl_serves_them() {
    let mut server = Command::new(program("crawl"));
    server.args(["--serve", "--site-pages", "40", "--site-plain"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = server.spawn().unwrap();
    let mut said = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let site: Value = serde_json::from_str(&said).unwrap();
    let resolve = site["resolve"].as_array().unwrap().iter().map(|at| format!("--resolve {}", at.as_str().unwrap()));
    let resolve = resolve.collect::<Vec<_>>().join(" ");
    let url = site["url"].as_str().unwrap();
    let folder = Folder::new();
    let file = folder.path().join("urls");
    let others = [1, 2, 3].map(|page| url.replace("h0.", &format!("h{page}.")).replace("/0.", &format!("/{page}.")));
    fs::write(&file, format!("{}\n\n {}\n", others[..2].join("\n"), others[2])).unwrap();
    let (code, report) = json(&format!("--urls-from {} --max-depth 0 {resolve} {url}", file.display()));
    assert_eq!((code, &report["pages"], &report["ok"]), (Some(0), &4.into(), &4.into()));
    let (_, report) = json(&format!("--scope any {resolve} {url}"));
    assert_eq!((&report["pages"], &report["ok"]), (&40.into(), &40.into()));
    fs::write(&file, "http://a/\nnonsense").unwrap();
    let output = crawl(&format!("--urls-from {}", file.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("urls:2: "), "{said}");
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success(), "it serves until its stdin ends");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_fetched() {
    for (line, words) in [
        ("--concurrency 0", "0 is not in"),
        ("--delay=-1", "-1"),
        ("--resolve nonsense", "HOST:PORT:ADDR"),
        ("--include (", "regex"),
        ("--type html", "neither type/subtype nor type/*"),
        ("--site-seed 2 http://example.com/", "cannot be used with"),
        ("ftp://example.com/", "must begin with http"),
        ("--json --output -", "both want stdout"),
        ("--report same --output same", "a file of its own"),
        ("--warc ./same --output same", "a file of its own"),
        ("--timeout 0", "above zero"),
        ("--engine tokio --deny-private", "no policy of addresses"),
    ] {
        let output = crawl(line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(words), "{line}: {said}");
    }
    let output = crawl("--site-pages 2 --output /nonexistent/pages.jsonl");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("/nonexistent/pages.jsonl: "), "{said}");
}

#[test]
fn what_may_be_a_password_is_not_repeated_where_it_makes_no_sense() {
    for line in ["http://me:secret@a.test/", "--sitemap http://me:secret@a.test/", "--header Authorization=secret"] {
        let output = crawl(line);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("invalid value for") && !told.contains("secret"), "{told}");
    }
}

#[test]
fn what_fails_has_the_same_name_on_both_loops() {
    let saying = |bytes: &'static [u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // The request fits into one read; what becomes of the answer is the crawler's business.
                let _ = stream.read(&mut [0; 4096]).and_then(|_| stream.write_all(bytes));
                let _ = stream.shutdown(Shutdown::Write).and_then(|()| stream.read_to_end(&mut Vec::new()));
            }
        });
        url
    };
    for (url, kind) in [
        (saying(b"220 mail.example.org ESMTP\r\n\r\n"), "protocol"),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes."), "truncated"),
        (saying(b""), "truncated"),
        ("http://no-such-host.invalid/".to_owned(), "resolve"),
    ] {
        for engine in ["windlass", "tokio"] {
            let (code, report) = json(&format!("--attempts 1 --ignore-robots --allow-private --engine {engine} {url}"));
            assert_eq!((code, &report["failed"][kind]), (Some(1), &1.into()), "{engine}: {kind}: {}", report["failed"]);
        }
    }
}

#[test]
fn a_host_that_is_not_there_is_told_as_such_and_not_as_one_that_forbids_it() {
    let url = "http://no-such-host.invalid/";
    for engine in ["windlass", "tokio"] {
        let line = format!("--attempts 1 --allow-private --engine {engine} {url}");
        let (code, report) = json(&line);
        assert_eq!((code, &report["robots_failed"]), (Some(1), &1.into()), "{engine}: {report}");
        let said = String::from_utf8_lossy(&crawl(&line).stdout).into_owned();
        let told = said.lines().find(|line| line.contains("could not be had")).unwrap_or_else(|| panic!("{said}"));
        assert!(told.contains("no-such-host.invalid/robots.txt"), "{told}");
    }
}

#[test]
fn a_private_address_is_refused_if_that_is_asked_for() {
    let (code, report) = json("--attempts 1 --ignore-robots --deny-private http://127.0.0.1:9/");
    assert_eq!((code, &report["failed"]["other"]), (Some(1), &1.into()));
    let (code, report) = json("--attempts 1 --ignore-robots http://127.0.0.1:9/");
    assert_eq!((code, &report["failed"]["connect"]), (Some(1), &1.into()));
}

#[test]
fn ctrl_c_ends_it_with_the_report_so_far() {
    // Twice at once as well: so `timeout -s INT` sends it, to the program and to its group.
    for times in [1, 2] {
        let mut command = Command::new(program("crawl"));
        command.args(["--rate", "20", "--output", "-"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap(); // it has begun, and would take minutes
        for _ in 0..times {
            kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
            thread::yield_now();
        }
        let (mut rest, mut report) = (String::new(), String::new());
        said.read_to_string(&mut rest).unwrap();
        child.stderr.take().unwrap().read_to_string(&mut report).unwrap();
        let is_data = |line: &str| line.starts_with('{');
        assert!(is_data(&line) && rest.lines().all(is_data), "stdout has lines alone: {line}{rest}");
        assert!(report.contains("left over"), "{report}");
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }
}

/// A server on a thread of its own, for as long as the test runs. Where it listens.
fn serve(answer: impl Fn(&str, &str) -> Reply + Send + 'static) -> String {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        Loop::new().unwrap().block_on(async {
            let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            tell.send(server.local_addr().unwrap()).unwrap();
            server.run(move |request| answer(request.host(), request.target())).await.unwrap();
        });
    });
    format!("http://{}", told.recv().unwrap())
}

fn html(text: impl Into<Vec<u8>>) -> Reply {
    Reply::bytes(200, text.into()).header("Content-Type", "text/html")
}

#[test]
fn redirects_that_robots_forbid_count_and_sitemaps_without_end_end_with_the_budget() {
    let at = serve(|host, target| {
        match target {
            "/robots.txt" => Reply::text(200, "User-agent: *\nDisallow: /no\nSitemap: /map0.xml\n"),
            "/" => html((0..20).map(|page| format!("<a href=/to/{page}>")).collect::<String>()),
            // Each names two hundred others, and so on.
            map if map.starts_with("/map") => {
                let name = &map[..map.len() - ".xml".len()];
                let others =
                    (0..200).map(|other| format!("<sitemap><loc>http://{host}{name}{other}.xml</loc></sitemap>"));
                Reply::text(200, format!("<sitemapindex>{}</sitemapindex>", others.collect::<String>()))
            }
            page if page.starts_with("/to/") => Reply::text(302, "").header("Location", format!("/no{}", &page[4..])),
            _ => Reply::text(404, ""),
        }
    });
    for budget in [1, 2, 5] {
        let (_, report) = json(&format!("--max-pages {budget} {at}/"));
        assert_eq!(report["pages"], budget);
    }
}

#[test]
fn a_robots_txt_that_a_server_fails_to_give_is_asked_for_again() {
    for engine in ["windlass", "tokio"] {
        let asked = AtomicU32::new(0);
        let at = serve(move |_, target| match target {
            "/robots.txt" if asked.fetch_add(1, Ordering::Relaxed) == 0 => Reply::text(503, ""),
            "/robots.txt" => Reply::text(200, "User-agent: *\nDisallow: /no\n"),
            _ => Reply::bytes(200, "<a href=/no>").header("Content-Type", "text/html"),
        });
        let (code, report) = json(&format!("--engine {engine} {at}/"));
        assert_eq!((code, &report["pages"], &report["retries"]), (Some(0), &1.into(), &1.into()), "{engine}: {report}");
        assert_eq!(
            (&report["robots_failed"], &report["skipped"]["robots"]),
            (&0.into(), &1.into()),
            "{engine}: {report}"
        );
    }
}

#[test]
fn what_nobody_knew_whether_it_may_be_fetched_is_left_to_the_next_run() {
    let asked = AtomicU32::new(0);
    let at = serve(move |_, target| match target {
        "/robots.txt" if asked.fetch_add(1, Ordering::Relaxed) == 0 => Reply::text(503, ""),
        "/robots.txt" => Reply::text(404, ""),
        _ => Reply::text(200, "here"),
    });
    let folder = Folder::new();
    let line = format!("--attempts 1 --state {} {at}/1 {at}/2", folder.path().display());
    let (code, report) = json(&line);
    assert_eq!((code, &report["pages"], &report["robots_failed"]), (Some(1), &0.into(), &1.into()), "{report}");
    for (pages, earlier) in [(2, 0), (0, 2)] {
        let (code, report) = json(&line);
        assert_eq!((code, &report["pages"], &report["earlier"]), (Some(0), &pages.into(), &earlier.into()), "{report}");
    }
}

#[test]
fn a_coding_that_is_none_stands_in_the_way_of_no_page() {
    // Of "<a href=/next>".
    const PACKED: &[u8] = &[
        31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 179, 73, 84, 200, 40, 74, 77, 179, 213, 207, 75, 173, 40, 177, 3, 0, 175, 30,
        115, 70, 14, 0, 0, 0,
    ];
    let at = serve(|_, target| match target {
        "/robots.txt" | "/next" => Reply::text(404, ""),
        "/packed" => html(PACKED).header("Content-Encoding", "identity, GZip ,"),
        "/empty" => html("<a href=/next>").header("Content-Encoding", ""),
        _ => html("<a href=/next>").header("Content-Encoding", "identity").header("Content-Encoding", "identity"),
    });
    for engine in ["windlass", "tokio"] {
        for page in ["packed", "empty", "twice"] {
            let (_, report) = json(&format!("--engine {engine} {at}/{page}"));
            assert_eq!((&report["ok"], &report["pages"]), (&1.into(), &2.into()), "{engine}, {page}: {report}");
        }
    }
}

#[test]
fn rules_whose_coding_is_cut_off_are_not_known() {
    // The first part of "User-agent: *\nAllow: /open\nDisallow: /\n", as gzip; the connection brings all that it announces.
    const CUT: &[u8] = &[
        31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 11, 45, 78, 45, 210, 77, 76, 79, 205, 43, 177, 82, 208, 226, 114, 204, 201,
        201, 47, 183, 82,
    ];
    let at = serve(|_, target| match target {
        "/robots.txt" => Reply::bytes(200, CUT).header("Content-Encoding", "gzip"),
        _ => html("here"),
    });
    for engine in ["windlass", "tokio"] {
        let (code, report) = json(&format!("--engine {engine} --attempts 1 {at}/no"));
        let counts = ["pages", "robots_failed"].map(|name| report[name].as_u64().unwrap());
        assert_eq!((code, counts), (Some(1), [0, 1]), "{engine}: {report}");
    }
}

#[test]
fn of_a_robots_txt_that_is_too_long_the_rule_that_is_cut_is_none() {
    const READ: usize = 500 * 1024; // RFC 9309 2.5
    let [head, rule] = ["User-agent: *\nDisallow: /no\n", "Disallow: /"];
    let filler = format!("#{}\n", " ".repeat(READ - head.len() - rule.len() - 2));
    let file = format!("{head}{filler}{rule}somewhere\n");
    let at = serve(move |_, target| match target {
        "/robots.txt" => Reply::text(200, file.clone()),
        _ => html("<a href=/no><a href=/yes>"),
    });
    for engine in ["windlass", "tokio"] {
        let (_, report) = json(&format!("--engine {engine} {at}/"));
        assert_eq!((&report["ok"], &report["pages"]), (&2.into(), &2.into()), "{engine}: {report}");
    }
}

#[test]
fn a_robots_txt_that_makes_work_of_each_page_holds_nobody_up_for_all_of_them() {
    let at = serve(|_, target| match target {
        "/robots.txt" => Reply::text(
            200,
            (0..2_000).fold("User-agent: *\n".to_owned(), |all, nth| format!("{all}Disallow: /*b{nth}$\n")),
        ),
        "/" => html((0..300).map(|nth| format!("<a href=/{}{nth}>", "a".repeat(700))).collect::<String>()),
        _ => Reply::text(200, ""),
    });
    let (_, report) = json(&format!("--no-sitemaps {at}/"));
    let [longest, all] = [&report["loop"]["poll_max_us"], &report["elapsed_s"]].map(|span| span.as_f64().unwrap());
    assert_eq!(report["ok"], 301);
    assert!(longest / 1e6 < all / 8.0, "{longest} µs of {all} s");
}

#[test]
fn hosts_for_which_there_are_too_few_descriptors_have_their_turn_all_the_same() {
    let at = serve(|host, target| {
        let port = host.rsplit(':').next().unwrap();
        let links = || (0..200).map(|host| format!("<a href=http://h{host}.test:{port}/to>")).collect::<String>();
        match target {
            "/" => Reply::bytes(200, links()).header("Content-Type", "text/html"),
            "/to" => Reply::text(200, "here"),
            _ => Reply::text(404, ""),
        }
    });
    let port = at.rsplit(':').next().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""]).arg(program("crawl"));
    command.args(["--json", "--scope", "any", "--attempts", "1", &format!("{at}/")]);
    command.args((0..200).map(|host| format!("--resolve=h{host}.test:{port}:127.0.0.1")));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["pages"], &report["ok"]), (&201.into(), &201.into()), "{report}");
}

#[test]
fn a_state_that_is_damaged_is_refused() {
    let folder = Folder::new();
    let line = format!("--site-pages 50 --state {}", folder.path().display());
    assert_eq!(crawl(&line).status.code(), Some(0));
    let file = fs::File::options().write(true).open(folder.path().join("crawl.redb")).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let output = crawl(&line);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("crawl.redb is damaged"), "{said}");
}
