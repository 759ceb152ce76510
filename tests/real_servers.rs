//! Stories about the HTTP client and servers that were not written with it in mind.
//!
//! nginx, Apache, Python's `http.server`, Node's `http`, gunicorn with httpbin: each is started here if the machine has it,
//! and asked the same by us and by the system's curl. The answers are the same: status, head, trailers, body, where a
//! redirect led. Where we are stricter than curl, a story says so, and in which words we refuse:
//!
//! ```text
//!   a status of 600 and more                        curl takes any three digits
//!   more than 100 fields, a line above 16 KiB,      curl has 300 KiB for all of a head,
//!     a body above 10 MiB                             and takes bodies of any length
//!   a line that ends in LF alone, a folded one,     curl takes what can be read in two ways
//!     both Content-Length and Transfer-Encoding
//!   codings that are nested, cut off or blow up     curl undoes five, and has no bound
//!   a redirect to a name and password               curl sends them along
//!   305 Use Proxy is an answer                      curl goes where it leads, as if it were a 302
//! ```
//!
//! CONTRIBUTING says what to install. A story whose server is not there says `SKIPPED` on stderr, and the first story here
//! says it of all of them; with `WINDLASS_NO_SKIPS=1` it fails.   Next: `http_client`, peers that follow a script.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use windlass::http::{Client, ErrorKind, Tls, Url};
use windlass_tests::beside_curl::{Ask, Beside, CURL, FORM, ask, get};
use windlass_tests::run;
use windlass_tests::sealed::{Authority, Certificate, GOOD};
use windlass_tests::servers::{
    Folder, HTTPBIN, NGINX, NGINX_ALONE, NGINX_FOLDERS, Server, Tool, free_ports, lacks, say, start_httpbin,
    start_nginx,
};

const APACHE: Tool = Tool { name: "Apache", probe: &["apache2", "-v"], install: "apt-get install apache2-bin" };
const PYTHON: Tool = Tool {
    name: "Python",
    probe: &["python", "-c", "import http.server, sys; print(sys.version)"], // a minimal one has no servers
    install: "apt-get install python3",
};
const NODE: Tool = Tool { name: "Node", probe: &["node", "--version"], install: "apt-get install nodejs" };
/// All codings that both can undo.
const CODINGS: &str = "gzip, deflate, br";

const TEXT: &str = "text/plain";

fn at(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Like a page's text: it can be made shorter, but not by much.
fn prose(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| b'a' + (n.wrapping_mul(n).wrapping_mul(2_654_435_761) >> 29) as u8 % 26).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_this_machine_lacks_is_said_aloud() {
    let tools = [CURL, NGINX, APACHE, PYTHON, NODE, HTTPBIN];
    for tool in &tools {
        if let Some(version) = tool.version() {
            say(&format!("real servers: {}: {version}", tool.name));
        }
    }
    let missing = tools.iter().filter_map(|tool| lacks(tool.name, &[tool])).count();
    say(&format!("real servers: of {} programs {missing} are missing", tools.len()));
}

// ---------------------------------------------------------------------------------------------------------------------
// Files, as every server of files has them.

/// What the servers of files serve.
fn files() -> Folder {
    let folder = Folder::new();
    folder.put("www/plain.txt", prose(3_000));
    folder.put("www/empty.txt", "");
    folder.put("www/one.txt", "1");
    folder.put("www/large.txt", prose(3_000_000));
    folder.put("www/with space.txt", "a space");
    folder.put("www/\u{fc}.txt", "an umlaut");
    folder.put("www/folder/index.html", "<p>index</p>");
    folder
}

fn of_files() -> Vec<Ask> {
    let paths =
        ["/plain.txt", "/empty.txt", "/one.txt", "/large.txt", "/with%20space.txt", "/%C3%BC.txt", "/plain.txt?a=b&c"];
    let mut asks: Vec<Ask> = paths.map(get).to_vec();
    asks.extend(paths.map(|path| ask("HEAD", path)));
    asks.extend(["/nothing", "/folder", "/folder/", "/%00", "/..%2f..%2fetc/passwd"].map(get));
    asks.push(get("/folder").following(3));
    for range in ["bytes=0-9", "bytes=-5", "bytes=2990-", "bytes=0-0", "bytes=5000-", "bytes=9-1", "lines=1-2"] {
        asks.push(get("/plain.txt").header("Range", range));
    }
    asks.push(get("/plain.txt").header("If-Modified-Since", "Fri, 01 Jan 2999 00:00:00 GMT"));
    asks.push(get("/plain.txt").header("If-Unmodified-Since", "Mon, 01 Jan 2001 00:00:00 GMT"));
    asks.push(get("/plain.txt").header("If-None-Match", "*"));
    asks.push(get("/plain.txt").header("Connection", "close"));
    asks.push(get("/plain.txt").decoded(CODINGS));
    asks.push(ask("POST", "/plain.txt").body(TEXT, "hello"));
    asks.push(ask("POST", "/plain.txt").body(TEXT, ""));
    asks.extend(["DELETE", "OPTIONS", "PATCH", "NOSUCHMETHOD"].map(|method| ask(method, "/plain.txt")));
    asks
}

#[test]
fn nginx_gives_us_what_it_gives_curl() {
    if lacks("nginx", &[&NGINX, &CURL]).is_some() {
        return;
    }
    let folder = files();
    let (page, zeros) = (prose(50_000), vec![0; 4_000_000]);
    folder.put("www/coded/page", gzip(&page));
    folder.put("www/coded/bomb", gzip(&zeros));
    folder.put("www/coded/cut", &gzip(&page)[..20_000]);
    folder.put("www/nested/page", gzip(&gzip(&page)));
    folder.put("passwords", "story:{PLAIN}secret\n");
    let [port] = free_ports();
    let long = "x".repeat(3_000);
    folder.put(
        "conf",
        format!(
            "{NGINX_ALONE}
             http {{ {NGINX_FOLDERS}
               server {{ listen 127.0.0.1:{port}; root www; keepalive_requests 20; types {{ text/plain txt; }}
                 location /listed/ {{ alias www/folder/; autoindex on; }}
                 location /zipped/ {{ alias www/; gzip on; gzip_min_length 1; gzip_types *; }}
                 location /slow/ {{ alias www/; limit_rate 10m; }}
                 location /trailers/ {{ alias www/; add_trailer X-Status $status; add_trailer X-Sent $body_bytes_sent; }}
                 location /coded/ {{ add_header Content-Encoding gzip; }}
                 location /nested/ {{ add_header Content-Encoding 'gzip, gzip'; }}
                 location /long {{ add_header X-Long {long}; add_header X-Long {long}; return 200 long; }}
                 location /locked/ {{ alias www/; auth_basic here; auth_basic_user_file passwords; }}
                 location /kept/ {{ alias kept/; dav_methods PUT DELETE MKCOL; create_full_put_path on; client_max_body_size 2m; }}
                 location /narrow/ {{ client_max_body_size 1k; dav_methods PUT; }}
                 location /last {{ keepalive_timeout 0; return 200 last; }}
                 location /gone {{ return 444; }}
                 location = /nothing-more {{ return 204; }}
                 location = /301 {{ return 301 /plain.txt; }}
                 location = /302 {{ return 302 http://127.0.0.1:{port}/one.txt?q; }}
                 location = /303 {{ return 303 one.txt; }}
                 location = /307 {{ return 307 /kept/posted; }}
                 location = /308 {{ return 308 /301; }}
                 location = /to-localhost {{ return 302 http://localhost:{port}/locked/one.txt; }}
                 location = /for-ever {{ return 302 /for-ever; }}
                 location = /to-a-file {{ return 302 file:///etc/passwd; }}
                 location = /with-password {{ return 302 http://story:secret@127.0.0.1:{port}/locked/one.txt; }}
                 location = /teapot {{ return 418 short; }} location = /odd {{ return 599; }} location = /status {{ stub_status; }} }} }}"
        ),
    );
    let _nginx = start_nginx(&folder, port);
    run(async move {
        let beside = Beside::new(at(port));
        beside.all_same(of_files()).await;
        let plain = [
            "/listed/",
            "/zipped/plain.txt",
            "/slow/large.txt",
            "/trailers/plain.txt",
            "/trailers/empty.txt",
            "/coded/page",
        ];
        beside.all_same(plain.map(get)).await;
        let paths =
            ["/nothing-more", "/last", "/gone", "/long", "/teapot", "/odd", "/nested/page", "/coded/bomb", "/last"];
        beside.all_same(paths.map(get)).await;
        for path in
            ["/zipped/plain.txt", "/zipped/large.txt", "/zipped/empty.txt", "/coded/page", "/trailers/large.txt"]
        {
            beside.same(get(path).decoded(CODINGS)).await;
            beside.same(ask("HEAD", path).decoded(CODINGS)).await;
        }
        for path in ["/301", "/302", "/303", "/308", "/for-ever", "/to-a-file"] {
            beside.all_same([get(path), get(path).following(4), ask("HEAD", path).following(4)]).await;
        }
        for path in ["/301", "/302", "/303"] {
            beside.same(ask("POST", path).body(FORM, "hello").following(4)).await;
        }
        for (user, password) in [("story", "secret"), ("story", "Secret"), ("nobody", ""), ("", "a:b")] {
            beside.same(get("/locked/one.txt").with_credentials(user, password)).await;
        }
        beside.same(get("/locked/one.txt")).await;
        beside.same(get("/to-localhost").with_credentials("story", "secret").following(2)).await;
        for body in [Vec::new(), prose(10), prose(1_500_000), prose(2_500_000)] {
            for path in ["/kept/a/b", "/narrow/a", "/307"] {
                let put = ask("PUT", path).body(TEXT, body.clone()).following(3);
                // The second of two PUTs finds a file, and says so.
                beside.both(&put).await.0.unwrap();
                beside.all_same([put.clone(), put.header("Expect", "100-continue")]).await;
            }
            beside.all_same([get("/kept/a/b"), get("/kept/posted")]).await;
        }
        beside.stricter(get("/coded/bomb").decoded("gzip"), ErrorKind::TooLarge, "").await;
        beside.stricter(get("/nested/page").decoded("gzip"), ErrorKind::Protocol, "coding").await;
        beside.stricter(get("/coded/cut").decoded("gzip"), ErrorKind::Truncated, "").await;
        beside.stricter(get("/with-password").following(1), ErrorKind::Redirect, "").await;
        let stats = beside.client().stats();
        assert!(stats.reused > stats.opened, "{stats:?}");
    });
}

#[test]
fn nginx_is_spoken_to_over_tls_and_its_certificates_are_judged_as_by_curl() {
    if lacks("TLS with nginx", &[&NGINX, &CURL]).is_some() {
        return;
    }
    let folder = files();
    let authority = Authority::new("ours");
    let certificates = [
        authority.sign(&GOOD),
        authority.sign(&Certificate { until: 2002, ..GOOD }),
        authority.sign(&Certificate { names: &["other.example"], ..GOOD }),
        Authority::new("another").sign(&GOOD),
        GOOD.self_signed(),
        authority.sign(&GOOD),
    ];
    let ports: [u16; 6] = free_ports();
    let mut servers = String::new();
    for (nth, ((certificate, key), port)) in certificates.iter().zip(ports).enumerate() {
        folder.put(&format!("{nth}.crt"), certificate);
        folder.put(&format!("{nth}.key"), key);
        let protocols = if nth == 5 { "TLSv1.2" } else { "TLSv1.2 TLSv1.3" };
        servers += &format!(
            "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {nth}.crt; ssl_certificate_key {nth}.key;
               ssl_protocols {protocols}; root www;
               location /tls {{ return 200 '$ssl_protocol $ssl_session_reused $ssl_server_name.'; }}
               location /last {{ keepalive_timeout 0; return 200 '$ssl_session_reused'; }} }}\n"
        );
    }
    let http = format!("http {{ {NGINX_FOLDERS} ssl_session_cache shared:a:1m; {servers} }}");
    folder.put("conf", format!("{NGINX_ALONE} {http}"));
    let _nginx = start_nginx(&folder, ports[0]);
    run(async move {
        let tls = || Tls::roots_from_pem(authority.pem().as_bytes()).unwrap();
        let beside = |port, host| {
            Beside::with(format!("https://{host}:{port}"), Client::builder().tls(tls()), Some(authority.pem()))
        };
        let good = beside(ports[0], "localhost");
        good.all_same(of_files()).await;
        let large = prose(500_000);
        good.same(ask("PUT", "/plain.txt").body(TEXT, large)).await;
        beside(ports[0], "127.0.0.1").all_same([get("/tls"), get("/large.txt")]).await;
        beside(ports[5], "localhost").all_same([get("/tls"), get("/large.txt"), get("/last")]).await;
        let whys =
            ["expired", "is for other.example, and not for it", "is signed by nobody", "is signed by itself alone"];
        for (port, why) in ports[1..5].iter().zip(whys) {
            let (ours, curls) = beside(*port, "localhost").both(&get("/tls")).await;
            let error = ours.unwrap_err();
            assert_eq!((error.kind(), curls.unwrap_err()), (ErrorKind::Tls, 60), "{error}"); // 60 is a certificate's
            assert!(error.to_string().contains(why), "{error}");
        }
        let said = async |path: &str| {
            let url = Url::parse(&format!("https://localhost:{}{path}", ports[0])).unwrap();
            good.client().get(&url).as_it_comes().send().await.unwrap().text().await.unwrap()
        };
        said("/last").await; // the connection that there was
        assert_eq!(said("/last").await, "r"); // a new one, and its session is the old one's
        let plain = Beside::new(at(ports[0])); // nginx says in plain words that it is not meant so
        plain.same(get("/")).await;
    });
}

#[test]
fn apache_gives_us_what_it_gives_curl() {
    if lacks("Apache", &[&APACHE, &CURL]).is_some() {
        return;
    }
    let folder = files();
    folder.put("www/included.shtml", "<p><!--#echo var=\"DOCUMENT_NAME\" --></p>\n".repeat(500));
    folder
        .put("www/as.asis", "Status: 299 As It Is\r\nContent-Type: text/plain\r\nX-Two: a\r\nX-Two: b\r\n\r\nas it is");
    folder.put("www/locked/one.txt", "open");
    folder.put("passwords", "story:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"); // secret
    let [port] = free_ports();
    let path = folder.path().display();
    let modules = "mpm_event authz_core authz_user authn_core authn_file auth_basic mime dir alias autoindex filter \
                   deflate brotli headers include asis";
    let modules: Vec<_> = modules
        .split(' ')
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"))
        .collect();
    folder.put(
        "conf",
        format!(
            "{}
             ServerName story\nServerRoot {path}\nDefaultRuntimeDir {path}\nPidFile pid\nErrorLog /dev/stderr\nListen 127.0.0.1:{port}
             User #65534\nGroup #65534\nDocumentRoot {path}/www\nTypesConfig /dev/null\nAddType text/plain .txt\nAddType text/html .html
             DirectoryIndex index.html\nAddOutputFilter INCLUDES .shtml\nAddType text/html .shtml\nAddHandler send-as-is asis
             Options +Indexes +Includes\nTraceEnable on\nMaxKeepAliveRequests 10\nLimitRequestBody 2000000
             Alias /zipped/ {path}/www/\nAlias /smaller/ {path}/www/\nAlias /many/ {path}/www/\nAlias /listed/ {path}/www/
             <Location /zipped>\nSetOutputFilter DEFLATE\n</Location>
             <Location /smaller>\nSetOutputFilter BROTLI_COMPRESS\n</Location>
             <Location /many>\nHeader add Set-Cookie a=1\nHeader add Set-Cookie b=2\nHeader set X-Empty \"\"\n</Location>
             <Location /listed>\nDirectoryIndex disabled\n</Location>
             <Location /locked>\nAuthType Basic\nAuthName here\nAuthUserFile {path}/passwords\nRequire valid-user\n</Location>
             Redirect permanent /301 /plain.txt\nRedirect temp /302 http://127.0.0.1:{port}/one.txt\nRedirect seeother /303 /301
             Redirect gone /410\nRedirectMatch 308 ^/308$ /302\n",
            modules.join("\n")
        ),
    );
    let _apache = Server::start(&folder, port, &["apache2", "-X", "-f", &format!("{path}/conf")]);
    run(async move {
        let beside = Beside::new(at(port));
        beside.all_same(of_files()).await;
        for path in
            ["/included.shtml", "/as.asis", "/many/one.txt", "/many/one.txt", "/listed/", "/410", "/server-status"]
        {
            beside.all_same([get(path), ask("HEAD", path), get(path).decoded(CODINGS)]).await;
        }
        for (folder, codings) in [("zipped", "gzip"), ("zipped", CODINGS), ("smaller", "br"), ("smaller", "identity")] {
            for file in ["plain.txt", "empty.txt", "one.txt", "large.txt", "included.shtml", "nothing"] {
                let path = format!("/{folder}/{file}");
                beside.all_same([get(&path).decoded(codings), ask("HEAD", &path).decoded(codings), get(&path)]).await;
            }
        }
        for path in ["/301", "/302", "/303", "/308"] {
            let post = ask("POST", path).body(FORM, "hello");
            beside.all_same([get(path), get(path).following(4), post.clone(), post.following(4)]).await;
        }
        for password in ["secret", "Secret"] {
            beside.same(get("/locked/one.txt").with_credentials("story", password)).await;
        }
        for body in [prose(100), prose(1_500_000), prose(2_500_000)] {
            let post = ask("POST", "/included.shtml").body(TEXT, body);
            beside.all_same([post.clone(), post.header("Expect", "100-continue")]).await;
        }
        beside.same(ask("TRACE", "/plain.txt")).await;
        let stats = beside.client().stats();
        assert!(stats.reused > stats.opened, "{stats:?}");
    });
}

#[test]
fn pythons_http_server_gives_us_what_it_gives_curl() {
    if lacks("Python's http.server", &[&PYTHON, &CURL]).is_some() {
        return;
    }
    // It speaks HTTP/1.0 unless told otherwise.
    for (version, keeps) in [("1.0", false), ("1.1", true)] {
        let folder = files();
        let [port] = free_ports();
        let script = format!(
            "import http.server as h, os; os.chdir('www'); h.SimpleHTTPRequestHandler.protocol_version = 'HTTP/{version}'
h.ThreadingHTTPServer(('127.0.0.1', {port}), h.SimpleHTTPRequestHandler).serve_forever()"
        );
        let _python = Server::start(&folder, port, &["python", "-c", &script]);
        run(async move {
            let beside = Beside::new(at(port));
            beside.all_same(of_files()).await;
            beside.same(get("/")).await;
            assert_eq!(beside.client().stats().reused > 0, keeps);
        });
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Programs that answer as they like.

/// Each path is something that a program on Node may do; those below `/wire` speak for themselves, past its http.
const NODE_SCRIPT: &str = r#"
const http = require('http'), zlib = require('zlib');
const page = 'hello hello hello '.repeat(3000);
const later = (ms, what) => setTimeout(what, ms);
const routes = {
  '/': (q, s) => s.end('hello'),
  '/nothing': (q, s) => s.end(),
  '/chunked': (q, s) => { for (let n = 0; n < 200; n++) s.write('x'.repeat(n + 1)); s.end(); },
  '/slowly': (q, s) => { let n = 0; const t = setInterval(() => n++ < 5 ? s.write('piece ' + n) : (clearInterval(t), s.end()), 20); },
  '/never': (q, s) => s.write('a beginning'),
  '/silent': () => {},
  '/trailers': (q, s) => { if (q.method == 'HEAD') return s.end(); s.setHeader('Trailer', 'X-Sum, X-Other'); s.write('hello'); s.addTrailers({ 'X-Sum': '5', 'X-Other': 'a b' }); s.end(); },
  '/early': (q, s) => { s.writeEarlyHints({ link: '</a.css>; rel=preload' }); s.writeProcessing(); later(10, () => s.end('late')); },
  '/gone': (q) => q.socket.destroy(),
  '/reset': (q) => q.socket.resetAndDestroy(),
  '/cut': (q, s) => { s.setHeader('Content-Length', 100); s.write('only this', () => q.socket.destroy()); },
  '/cut-chunked': (q, s) => { s.write('only this', () => q.socket.destroy()); },
  '/until-the-end': (q, s) => { s.useChunkedEncodingByDefault = false; s.removeHeader('Transfer-Encoding'); s.write('and '); s.end('then it ends'); },
  '/last': (q, s) => { s.setHeader('Connection', 'close'); s.end('last'); },
  '/204': (q, s) => { s.statusCode = 204; s.end(); },
  '/205': (q, s) => { s.statusCode = 205; s.end(); },
  '/304': (q, s) => { s.writeHead(304, { ETag: '"a"', 'Content-Length': 500 }); s.end(); },
  '/299': (q, s) => { s.writeHead(299, 'Quite \u00e4 reason'); s.end('x'); },
  '/601': (q, s) => { s.writeHead(601); s.end('x'); },
  '/999': (q, s) => { s.writeHead(999); s.end('x'); },
  '/headers': (q, s) => { s.setHeader('X-Latin', '\u00e9\u00ff'); s.setHeader('Set-Cookie', ['a=1; Max-Age=0', 'b=2; Path=/; HttpOnly', 'c=3; Path=/elsewhere', 'd=4; Domain=elsewhere.example']); s.setHeader('x-CASE', ' a\tb '); s.end('x'); },
  '/many': (q, s) => { for (let n = 0; n < 90; n++) s.setHeader('X-' + n, 'v'); s.end('x'); },
  '/too-many': (q, s) => { for (let n = 0; n < 120; n++) s.setHeader('X-' + n, 'v'); s.end('x'); },
  '/long': (q, s) => { s.setHeader('X-Long', 'v'.repeat(15000)); s.end('x'); },
  '/too-long': (q, s) => { s.setHeader('X-Long', 'v'.repeat(20000)); s.end('x'); },
  '/large': (q, s) => { s.setHeader('Content-Length', 11e6); s.end(Buffer.alloc(11e6, 'x')); },
  '/gzip': (q, s) => { s.setHeader('Content-Encoding', 'gzip'); s.end(zlib.gzipSync(page)); },
  '/x-gzip': (q, s) => { s.setHeader('Content-Encoding', 'x-gzip'); zlib.createGzip().on('data', d => s.write(d)).on('end', () => s.end()).end(page); },
  '/deflate': (q, s) => { s.setHeader('Content-Encoding', 'deflate'); s.end(zlib.deflateSync(page)); },
  '/raw-deflate': (q, s) => { s.setHeader('Content-Encoding', 'deflate'); s.end(zlib.deflateRawSync(page)); },
  '/br': (q, s) => { s.setHeader('Content-Encoding', 'br'); s.end(zlib.brotliCompressSync(page)); },
  '/identity': (q, s) => { s.setHeader('Content-Encoding', 'identity'); s.end(page); },
  '/not-gzip': (q, s) => { s.setHeader('Content-Encoding', 'gzip'); s.end(page); },
  '/empty-gzip': (q, s) => { s.setHeader('Content-Encoding', 'gzip'); s.end(); },
  '/echo': (q, s) => { const all = []; q.on('data', d => all.push(d)).on('end', () => { s.setHeader('X-Method', q.method); s.end(q.rawHeaders.filter(n => !n.startsWith('127.')).map(String).sort().join('|') + Buffer.concat(all)); }); },
  '/deaf': (q, s) => { s.writeHead(413, { Connection: 'close' }); s.end('too large'); },
};
const wire = {
  '/wire/lf': 'HTTP/1.1 200 OK\nContent-Length: 1\n\nx',
  '/wire/folded': 'HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 1\r\n\r\nx',
  '/wire/both': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\nx\r\n0\r\n\r\n',
  '/wire/no-reason': 'HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx',
  '/wire/old': 'HTTP/1.0 200 OK\r\n\r\nuntil the end',
  '/wire/extension': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0001;a=b;c="d"\r\nx\r\n00\r\n\r\n',
  '/wire/same-length': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx',
  '/wire/other-length': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy',
  '/wire/bad-chunk': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
  '/wire/bad-length': 'HTTP/1.1 200 OK\r\nContent-Length: one\r\n\r\nx',
  '/wire/half-a-head': 'HTTP/1.1 200 OK\r\nContent-Le',
};
const server = http.createServer((q, s) => {
  if (wire[q.url]) return q.socket.end(Buffer.from(wire[q.url], 'latin1'));
  (routes[q.url] || ((q, s) => { s.statusCode = 404; s.end('none'); }))(q, s);
});
server.listen(Number(process.argv[1]), '127.0.0.1');
"#;

#[test]
fn nodes_http_gives_us_what_it_gives_curl() {
    if lacks("Node's http", &[&NODE, &CURL]).is_some() {
        return;
    }
    let folder = Folder::new();
    let [port] = free_ports();
    let _node = Server::start(&folder, port, &["node", "-e", NODE_SCRIPT, &port.to_string()]);
    run(async move {
        let beside = Beside::new(at(port));
        let paths = "/ /nothing /chunked /slowly /trailers /early /last /204 /205 /304 /299 /headers /headers /many /long /missing";
        for path in paths.split(' ') {
            beside.all_same([get(path), ask("HEAD", path), ask("POST", path).body(TEXT, "hello")]).await;
        }
        for path in "/gone /reset /cut /cut-chunked /until-the-end".split(' ') {
            beside.same(get(path)).await;
        }
        for path in "old no-reason extension same-length bad-chunk bad-length".split(' ') {
            beside.same(get(format!("/wire/{path}"))).await;
        }
        for path in "/gzip /x-gzip /deflate /raw-deflate /br /identity /not-gzip /empty-gzip".split(' ') {
            beside.all_same([get(path).decoded(CODINGS), ask("HEAD", path).decoded(CODINGS), get(path)]).await;
        }
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let echo = ask(method, "/echo");
            let long = echo.clone().body("application/json", prose(300_000));
            beside.all_same([long.clone(), long.header("Expect", "100-continue"), echo.body(TEXT, "")]).await;
        }
        beside
            .all_same([
                get("/echo"),
                get("/echo").header("X-Empty", "a, b").header("X-Twice", "1").header("X-Twice", "2"),
            ])
            .await;
        beside.same(ask("POST", "/deaf").body(TEXT, prose(3_000_000))).await;
        let short = Duration::from_millis(300);
        beside.all_same([get("/silent").within(short), get("/never").within(short)]).await;

        beside.stricter(get("/601"), ErrorKind::Protocol, "status").await;
        beside.stricter(get("/999"), ErrorKind::Protocol, "status").await;
        beside.stricter(get("/too-many"), ErrorKind::TooLarge, "").await;
        beside.stricter(get("/too-long"), ErrorKind::TooLarge, "").await;
        beside.stricter(get("/large"), ErrorKind::TooLarge, "").await;
        beside.stricter(get("/wire/lf"), ErrorKind::Protocol, "").await;
        beside.stricter(get("/wire/folded"), ErrorKind::Protocol, "").await;
        beside.stricter(get("/wire/both"), ErrorKind::Protocol, "").await;
        beside.stricter(get("/wire/other-length"), ErrorKind::Protocol, "differ").await;
        beside.stricter(get("/wire/half-a-head"), ErrorKind::Truncated, "within the head").await;
        beside.same(get("/")).await;
        let stats = beside.client().stats();
        assert!(stats.reused > stats.opened, "{stats:?}");
    });
}

#[test]
fn httpbin_on_gunicorn_gives_us_what_it_gives_curl() {
    if lacks("gunicorn with httpbin", &[&HTTPBIN, &CURL]).is_some() {
        return;
    }
    let folder = Folder::new();
    let [port] = free_ports();
    let _gunicorn = start_httpbin(&folder, port);
    run(async move {
        let beside = Beside::new(at(port));
        for status in [
            200, 201, 204, 206, 226, 300, 304, 305, 400, 401, 402, 403, 404, 405, 406, 407, 410, 418, 429, 500, 503,
            599,
        ] {
            beside.same(get(format!("/status/{status}"))).await;
        }
        for status in [301, 302, 303, 307, 308] {
            let path = format!("/status/{status}");
            let post = ask("POST", &path).body(FORM, "hello");
            beside.all_same([get(&path), get(&path).following(5), post.clone(), post.following(5)]).await;
        }
        for path in "/redirect/3 /relative-redirect/3 /absolute-redirect/3 /redirect/6 /absolute-redirect/6".split(' ')
        {
            beside.all_same([get(path), get(path).following(5), ask("HEAD", path).following(5)]).await;
        }
        for status in [301, 302, 303, 307, 308] {
            let path = format!("/redirect-to?url=/anything%3Fa%3Db&status_code={status}");
            beside.same(get(&path).following(1)).await;
            beside.same(ask("POST", &path).body(FORM, "hello").following(1)).await;
            beside.same(ask("PUT", &path).body("", "hello").following(1)).await;
        }
        for to in [at(port), format!("http://localhost:{port}")] {
            let path = format!("/redirect-to?url={to}/headers");
            let asked = get(&path).following(1).with_credentials("story", "secret");
            beside.all_same([asked.clone(), asked.header("Cookie", "by=hand").header("X-Api-Key", "k")]).await;
        }
        let bodies = "/stream/1 /stream/20 /stream-bytes/5000?seed=1&chunk_size=100 /bytes/0 /bytes/1024?seed=1 /bytes/100000?seed=2 \
                      /drip?duration=0.3&numbytes=6&delay=0.1 /drip?duration=0&numbytes=0&code=404 /delay/0.2 /links/3/0 /html /json \
                      /xml /robots.txt /deny /encoding/utf8 /image/png /base64/aGVsbG8= /ip /user-agent /headers /get?a=b&c=%20&c=d \
                      /cache/60 /response-headers?a=b&a=c&X-Mine=%20d /anything/a%2Fb;c?d=e%26f /etag/x /range/1024 /nothing";
        for path in bodies.split_whitespace() {
            beside.all_same([get(path), ask("HEAD", path)]).await;
        }
        for path in "/gzip /deflate /brotli /html /stream/3 /image/jpeg".split(' ') {
            beside.all_same([get(path).decoded(CODINGS), get(path), ask("HEAD", path).decoded(CODINGS)]).await;
        }
        for range in ["bytes=0-9", "bytes=-5", "bytes=1000-", "bytes=2000-", "bytes=5-1"] {
            beside.same(get("/range/1024?chunk_size=100").header("Range", range)).await;
        }
        for (name, value) in [("If-None-Match", "x"), ("If-None-Match", "*"), ("If-Match", "y"), ("If-Match", "x")] {
            beside.same(get("/etag/x").header(name, value)).await;
        }
        beside.same(get("/cache").header("If-Modified-Since", "Fri, 01 Jan 2999 00:00:00 GMT")).await;
        for path in ["/basic-auth/story/secret", "/hidden-basic-auth/story/secret", "/bearer"] {
            beside.all_same([get(path), get(path).with_credentials("story", "secret")]).await;
            beside.same(get(path).with_credentials("story", "s:\u{e9}")).await;
        }
        beside.same(get("/bearer").header("Authorization", "Bearer abc")).await;
        // What was deleted curl has again when it next reads its jar: so that comes last, and in a jar of its own. In which
        // order it sends several is not the RFC's: so they are looked at by name.
        let with_jar = Beside::new(at(port));
        let cookies = "/cookies /cookies/set?a=b /headers /cookies/set?c=d%20e /cookies/set/f/g /cookies /cookies/set?c=%22q%22 /cookies /cookies/delete?a&f";
        for path in cookies.split_whitespace() {
            with_jar.same(get(path).following(2)).await;
        }
        for (method, path) in
            [("POST", "/post"), ("PUT", "/put"), ("PATCH", "/patch"), ("DELETE", "/delete"), ("POST", "/anything")]
        {
            let asked = ask(method, path);
            beside.same(asked.clone().body(FORM, "a=1&b=%20&c=%C3%BC")).await;
            beside.same(asked.clone().body("application/json", r#"{"a": [1, null, "\u00fc"]}"#)).await;
            beside.same(asked.clone().body("application/octet-stream", (0..=255).collect::<Vec<u8>>())).await;
            beside.same(asked.clone().body(TEXT, prose(200_000)).header("Expect", "100-continue")).await;
            beside.same(asked.body(TEXT, "")).await;
        }
        beside.all_same([ask("OPTIONS", "/get"), ask("DELETE", "/get"), ask("PATCH", "/status/418")]).await;
        beside.same(get("/delay/5").within(Duration::from_millis(300))).await;
        let (ours, curls) = beside.both(&get("/status/305").following(5)).await;
        assert_eq!((ours.unwrap().led, curls.unwrap().led.map(|(hops, _)| hops)), (None, Some(2)));
        beside.stricter(get("/status/600"), ErrorKind::Protocol, "status").await;
        let stats = beside.client().stats();
        assert!(stats.reused > stats.opened, "{stats:?}");
    });
}
