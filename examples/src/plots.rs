//! Pages of plots.
//!
//! A report of a thousand numbers says less than one curve, and a curve from which no number can be copied is hard to
//! argue with. So a page has both: each plot with its numbers in a table beside it.
//!
//! ```text
//!     Curves ──┐                 ┌── plot: SVG, in the page itself
//!     Bars   ──┼──► Page ──► HTML┤
//!     table  ──┘                 └── its numbers, as a table
//! ```
//!
//! A page is one file that loads nothing: no script, no font, no picture from elsewhere, and it forbids the browser to look
//! for any. Whatever is put in is text and stays text. Its colours are those of the reader's system, light or dark.
//! Not here: what is worth a plot, which the programs know.   Next: [`crate::out`].

use std::ops::Range;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::{
    chart::{ChartBuilder, ChartContext},
    coord::{Shift, types::RangedCoordf64},
    element::{PathElement, Rectangle, Text},
    prelude::{Cartesian2d, DrawingArea, IntoDrawingArea, IntoFont, SVGBackend},
    series::{AreaSeries, LineSeries},
    style::{
        Color, RGBColor, ShapeStyle, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

/// Pixels of a plot; a browser scales it to the room there is.
const WIDTH: u32 = 720;
const HEIGHT: u32 = 260;
/// Pixels of a bar, and between two rows of them.
const BAR: u32 = 14;
const GAP: u32 = 10;
/// Pixels for what stands left of the bars.
const NAMES: u32 = 130;

/// Told apart by those who see few colours, too, and seen on white and on black (after Okabe and Ito 2008).
const COLOURS: [RGBColor; 9] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x8c, 0x6d, 0x31),
    RGBColor(0x84, 0x84, 0x84),
    RGBColor(0x75, 0x6b, 0xb1),
];

/// Axes and grid.
const GREY: RGBColor = RGBColor(0x88, 0x88, 0x88);

const STYLE: &str = "\
:root { color-scheme: light dark }
body { background: Canvas; color: CanvasText; font: 15px/1.45 system-ui, sans-serif; max-width: 1200px; margin: 0 auto; padding: 1rem }
figure { margin: 1.5rem 0 }
figcaption { font-weight: 600; margin-bottom: .3rem }
.beside { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start }
svg { width: 720px; max-width: 100%; height: auto; flex: none }
svg text { fill: currentColor }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .1rem .6rem; text-align: right; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent) }
th:first-child, td:first-child, th.words, td.words { text-align: left }
td.words { min-width: 6.5em; overflow-wrap: anywhere }
thead th { position: sticky; top: 0; background: Canvas }
.numbers { max-height: 260px; overflow: auto }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .35em 0 .9em }
";

/// A page in the making.
///
/// ```
/// use windlass_examples::plots::Page;
/// let mut page = Page::new("A crawl");
/// page.heading("Hosts");
/// page.text("What came of <each>.");
/// page.table("Pages by host", &["host", "pages"], &[vec!["a.test".to_owned(), "7".to_owned()]]);
/// let html = page.finish();
/// assert!(html.starts_with("<!DOCTYPE html>") && html.contains("&lt;each&gt;"));
/// ```
#[derive(Debug)]
pub struct Page {
    title: String,
    parts: Vec<String>,
    figures: usize,
}

/// What [`Curves`] does with several series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    /// Each is a line by itself.
    Lines,
    /// Each is an area on top of the one before: shares of a whole. All have the same x.
    Areas,
}

/// One series of a plot: its points by rising x. Those that are not finite are not drawn; a y that is not
/// adds nothing to [`Stack::Areas`].
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What the key of the plot calls it.
    pub name: String,
    /// Pairs of x and y.
    pub points: Vec<(f64, f64)>,
}

/// Something over something else, such as over time.
///
/// ```
/// use windlass_examples::plots::{Curves, Page, Series, Stack};
/// let mut page = Page::new("A run");
/// let points = vec![(0.0, 0.0), (1.0, 120.0), (2.0, 130.0)];
/// page.curves(&Curves {
///     title: "Throughput",
///     x: "seconds",
///     y: "pages/s",
///     stack: Stack::Lines,
///     series: vec![Series { name: "pages".to_owned(), points }],
/// });
/// assert!(page.finish().contains("<polyline"));
/// ```
#[derive(Debug, Clone)]
pub struct Curves<'a> {
    /// Stands above the plot.
    pub title: &'a str,
    /// What the horizontal axis is, and in which unit.
    pub x: &'a str,
    /// What the vertical axis is, and in which unit; it begins at zero.
    pub y: &'a str,
    /// Lines, or shares on top of each other.
    pub stack: Stack,
    /// One or more of them.
    pub series: Vec<Series>,
}

/// How long a bar is, and how far what it stands for is spread, if it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Length {
    /// Where the bar ends: a median, or all there is.
    pub middle: f64,
    /// The least and the greatest, drawn as a thin line over the bar's end.
    pub spread: Option<(f64, f64)>,
}

impl From<f64> for Length {
    fn from(middle: f64) -> Self {
        Self { middle, spread: None }
    }
}

/// A row of bars: one for each name in [`Bars::of`].
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Stands left of them.
    pub name: String,
    /// As many as the plot has names.
    pub lengths: Vec<Length>,
}

/// Where the bars of one row stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One below the other, each from zero.
    Apart,
    /// One at the end of the other: parts of a whole.
    InLine,
}

/// Figures of several things side by side: medians with their spread, percentiles, parts of a whole.
///
/// ```
/// use windlass_examples::plots::{Bars, Layout, Length, Page, Row};
/// let mut page = Page::new("A comparison");
/// let lengths = vec![Length { middle: 1.3, spread: Some((1.2, 1.5)) }];
/// page.bars(&Bars {
///     title: "Time of a run",
///     axis: "seconds",
///     of: &["median"],
///     layout: Layout::Apart,
///     rows: vec![Row { name: "windlass".to_owned(), lengths }],
/// });
/// assert!(page.finish().contains("1.2 to 1.5"));
/// ```
#[derive(Debug, Clone)]
pub struct Bars<'a> {
    /// Stands above the plot.
    pub title: &'a str,
    /// What is measured, and in which unit; it begins at zero.
    pub axis: &'a str,
    /// What the bars of a row are, such as percentiles.
    pub of: &'a [&'a str],
    /// Whether they are parts of a whole.
    pub layout: Layout,
    /// One or more of them, the first on top.
    pub rows: Vec<Row>,
}

impl Page {
    /// An empty page.
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), parts: Vec::new(), figures: 0 }
    }

    /// Begins a chapter.
    pub fn heading(&mut self, text: &str) {
        self.push(html! { h2 { (text) } });
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        self.push(html! { p { (text) } });
    }

    /// A table with a head; cells that are no number stand left.
    pub fn table(&mut self, title: &str, head: &[&str], rows: &[Vec<String>]) {
        self.push(html! { figure { figcaption { (title) } (table(head, rows)) } });
    }

    /// A plot over an axis, and its numbers.
    pub fn curves(&mut self, curves: &Curves<'_>) {
        let names: Vec<&str> = curves.series.iter().map(|series| series.name.as_str()).collect();
        let head: Vec<&str> = [curves.x].into_iter().chain(names.iter().copied()).collect();
        self.figure(
            curves.title,
            &names,
            &draw_curves(curves),
            (WIDTH, HEIGHT),
            table(&head, &rows_of(&curves.series)),
        );
    }

    /// Bars, and their numbers.
    pub fn bars(&mut self, bars: &Bars<'_>) {
        let unit = if bars.of.contains(&bars.axis) { String::new() } else { format!("in {}", bars.axis) };
        let head: Vec<&str> = [&*unit].into_iter().chain(bars.of.iter().copied()).collect();
        let cell = |length: &Length| match length.spread {
            Some((least, most)) => format!("{} ({} to {})", number(length.middle), number(least), number(most)),
            None => number(length.middle),
        };
        let row = |row: &Row| [row.name.clone()].into_iter().chain(row.lengths.iter().map(cell)).collect();
        let rows: Vec<Vec<String>> = bars.rows.iter().map(row).collect();
        self.figure(bars.title, bars.of, &draw_bars(bars), (WIDTH, height_of(bars)), table(&head, &rows));
    }

    /// The whole page.
    pub fn finish(self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    h1 { (self.title) }
                    @for part in &self.parts { (PreEscaped(part)) }
                }
            }
        };
        page.into_string()
    }

    fn push(&mut self, part: Markup) {
        self.parts.push(part.into_string());
    }

    /// A plot with its key and its numbers. Who cannot see it is told its title, and finds the numbers in the table.
    fn figure(&mut self, title: &str, names: &[&str], shapes: &str, (width, height): (u32, u32), numbers: Markup) {
        self.figures += 1;
        let id = format!("figure-{}", self.figures);
        self.push(html! {
            figure {
                figcaption {
                    (title)
                    @if names.len() > 1 {
                        @for (nth, name) in names.iter().enumerate() {
                            span.key style={ "background:" (hex(colour(nth))) } {} (name)
                        }
                    }
                }
                div.beside {
                    svg role="img" aria-labelledby=(id) viewBox={ "0 0 " (width) " " (height) } {
                        title id=(id) { (title) }
                        (PreEscaped(shapes))
                    }
                    div.numbers tabindex="0" { (numbers) }
                }
            }
        });
    }
}

fn table(head: &[&str], rows: &[Vec<String>]) -> Markup {
    let is_words = |cell: &str| !cell.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    let has_words = |nth: usize| rows.first().and_then(|row| row.get(nth)).is_some_and(|cell| is_words(cell));
    html! {
        table {
            thead { tr { @for (nth, cell) in head.iter().enumerate() { th.words[has_words(nth)] scope="col" { (cell) } } } }
            tbody {
                @for row in rows {
                    tr { @for cell in row { td.words[is_words(cell)] { (cell) } } }
                }
            }
        }
    }
}

/// The points of all series by their x; what a series lacks is left empty.
fn rows_of(series: &[Series]) -> Vec<Vec<String>> {
    let mut all: Vec<f64> = series.iter().flat_map(|one| one.points.iter().map(|(x, _)| *x)).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    let at = |one: &Series, x: f64| {
        let found = one.points.binary_search_by(|(other, _)| other.total_cmp(&x));
        found.map_or(String::new(), |nth| number(one.points[nth].1))
    };
    all.into_iter().map(|x| [number(x)].into_iter().chain(series.iter().map(|one| at(one, x))).collect()).collect()
}

/// Whole numbers as they are, others to three digits behind the point, or three that count.
fn number(of: f64) -> String {
    if of.fract() == 0.0 || !of.is_finite() {
        return format!("{of}");
    }
    let digits = if of.abs() < 1.0 { (2.0 - of.abs().log10().floor()).clamp(3.0, 12.0) as usize } else { 3 };
    let text = format!("{of:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn colour(nth: usize) -> RGBColor {
    COLOURS[nth % COLOURS.len()]
}

fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

type Paper<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Axes<'p, 'a> = ChartContext<'p, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// What `draw` draws, without the element around it: an inline one needs no namespace.
fn shapes(size: (u32, u32), draw: impl FnOnce(&Paper<'_>)) -> String {
    let mut svg = String::new();
    {
        let paper = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&paper);
        paper.present().expect(TAKES_ALL);
    }
    let (_, inside) = svg.split_once('>').expect("it begins with its tag");
    inside.trim_end().trim_end_matches("</svg>").to_owned()
}

/// Why drawing does not fail.
const TAKES_ALL: &str = "a string takes every shape";

fn draw_curves(curves: &Curves<'_>) -> String {
    let lines: Vec<Vec<(f64, f64)>> = match curves.stack {
        Stack::Lines => curves.series.iter().map(|series| finite(&series.points)).collect(),
        Stack::Areas => piled(&curves.series),
    };
    let xs = || lines.iter().flatten().map(|(x, _)| *x);
    let (first, last) = (xs().fold(f64::INFINITY, f64::min), xs().fold(f64::NEG_INFINITY, f64::max));
    let across = if first < last { first..last } else { 0.0..1.0 };
    let up = from_zero(lines.iter().flatten().map(|(_, y)| *y));
    shapes((WIDTH, HEIGHT), |paper| {
        let mut axes = axes(paper, across, up, curves.x, curves.y);
        for (nth, line) in lines.into_iter().enumerate().rev() {
            match curves.stack {
                Stack::Lines => {
                    _ = axes.draw_series(LineSeries::new(line, colour(nth).stroke_width(2))).expect(TAKES_ALL)
                }
                // From the one on top to the one below all: each covers what is not its own.
                Stack::Areas => _ = axes.draw_series(AreaSeries::new(line, 0.0, colour(nth))).expect(TAKES_ALL),
            }
        }
    })
}

fn axes<'p, 'a>(paper: &'p Paper<'a>, across: Range<f64>, up: Range<f64>, x: &str, y: &str) -> Axes<'p, 'a> {
    let mut chart = ChartBuilder::on(paper);
    chart.margin(8).margin_right(20).x_label_area_size(38).y_label_area_size(64);
    let mut axes = chart.build_cartesian_2d(across, up).expect(TAKES_ALL);
    let (grid, line) = (GREY.mix(0.25), GREY);
    let mut mesh = axes.configure_mesh();
    mesh.light_line_style(GREY.mix(0.0)).bold_line_style(grid).axis_style(line);
    mesh.label_style(("sans-serif", 12)).axis_desc_style(("sans-serif", 12)).x_desc(x).y_desc(y);
    mesh.x_label_formatter(&|x| number(*x)).y_label_formatter(&|y| number(*y));
    mesh.draw().expect(TAKES_ALL);
    axes
}

fn finite(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
}

/// Each series on top of those before.
fn piled(series: &[Series]) -> Vec<Vec<(f64, f64)>> {
    let mut below = vec![0.0; series.iter().map(|one| one.points.len()).max().unwrap_or(0)];
    let mut pile = |one: &Series| {
        let raised = one.points.iter().zip(&mut below).map(|((x, y), below)| {
            *below += if y.is_finite() { *y } else { 0.0 };
            (*x, *below)
        });
        raised.collect()
    };
    series.iter().map(&mut pile).collect()
}

/// From zero to a little more than the greatest.
fn from_zero(values: impl Iterator<Item = f64>) -> Range<f64> {
    let most = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
    0.0..if most > 0.0 { most * 1.05 } else { 1.0 }
}

/// Bars on top of each other in one row.
fn bars_high(bars: &Bars<'_>) -> u32 {
    match bars.layout {
        Layout::Apart => bars.of.len().max(1) as u32,
        Layout::InLine => 1,
    }
}

/// Pixels of the rows, and of what is below them.
fn height_of(bars: &Bars<'_>) -> u32 {
    bars.rows.len().max(1) as u32 * (bars_high(bars) * BAR + GAP) + 60
}

fn draw_bars(bars: &Bars<'_>) -> String {
    let row_end = |row: &Row| match bars.layout {
        Layout::Apart => {
            row.lengths.iter().map(|one| one.spread.map_or(one.middle, |(_, most)| most)).fold(0.0, f64::max)
        }
        Layout::InLine => row.lengths.iter().map(|one| one.middle).sum(),
    };
    let across = from_zero(bars.rows.iter().map(row_end));
    let row_high = f64::from(bars_high(bars) * BAR + GAP);
    let down = 0.0..bars.rows.len().max(1) as f64 * row_high;
    shapes((WIDTH, height_of(bars)), |paper| {
        let mut chart = ChartBuilder::on(paper);
        chart.margin(8).margin_right(20).x_label_area_size(38).y_label_area_size(NAMES);
        // Upside down: the first row is the topmost.
        let mut axes = chart.build_cartesian_2d(across, down.end..down.start).expect(TAKES_ALL);
        let mut mesh = axes.configure_mesh();
        mesh.disable_y_mesh().y_labels(0).x_desc(bars.axis).axis_style(GREY).x_label_formatter(&|x| number(*x));
        mesh.light_line_style(GREY.mix(0.0)).bold_line_style(GREY.mix(0.25));
        mesh.label_style(("sans-serif", 12)).axis_desc_style(("sans-serif", 12)).draw().expect(TAKES_ALL);
        for (nth, row) in bars.rows.iter().enumerate() {
            let top = nth as f64 * row_high + f64::from(GAP) / 2.0;
            let middle = axes.backend_coord(&(0.0, top + (row_high - f64::from(GAP)) / 2.0));
            let style = TextStyle::from(("sans-serif", 12).into_font()).pos(Pos::new(HPos::Right, VPos::Center));
            paper.draw(&Text::new(short(&row.name), (middle.0 - 6, middle.1), style)).expect(TAKES_ALL);
            draw_row(&mut axes, bars.layout, row, top);
        }
    })
}

fn draw_row(axes: &mut Axes<'_, '_>, layout: Layout, row: &Row, top: f64) {
    let (mut left, mut top, bar) = (0.0, top, f64::from(BAR));
    for (nth, length) in row.lengths.iter().enumerate().filter(|(_, length)| length.middle.is_finite()) {
        let corners = [(left, top), (left + length.middle, top + bar)];
        axes.draw_series([Rectangle::new(corners, colour(nth).filled())]).expect(TAKES_ALL);
        if let Some((least, most)) = length.spread {
            let (line, at) = (ShapeStyle::from(GREY).stroke_width(2), top + bar / 2.0);
            let ends = [least, most].map(|x| PathElement::new([(x, at - bar / 3.0), (x, at + bar / 3.0)], line));
            axes.draw_series([PathElement::new([(least, at), (most, at)], line)]).expect(TAKES_ALL);
            axes.draw_series(ends).expect(TAKES_ALL);
        }
        match layout {
            Layout::Apart => top += bar,
            Layout::InLine => left += length.middle,
        }
    }
}

/// As much of a name as there is room for; the table has all of it.
fn short(name: &str) -> String {
    const ROOM: usize = 18;
    if name.chars().count() <= ROOM {
        return name.to_owned();
    }
    name.chars().take(ROOM - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use html5gum::{StartTag, Token, Tokenizer};

    use super::*;

    const HOSTILE: &str = "</title><script src=//evil.test/x>\"'&amp;<svg onload=x>";

    fn series(name: &str, points: &[(f64, f64)]) -> Series {
        Series { name: name.to_owned(), points: points.to_vec() }
    }

    fn curves(stack: Stack, series: Vec<Series>) -> String {
        let mut page = Page::new(HOSTILE);
        page.curves(&Curves { title: HOSTILE, x: HOSTILE, y: HOSTILE, stack, series });
        page.finish()
    }

    fn bars(layout: Layout, rows: Vec<Row>) -> String {
        let mut page = Page::new(HOSTILE);
        page.bars(&Bars { title: HOSTILE, axis: HOSTILE, of: &["a", HOSTILE], layout, rows });
        page.finish()
    }

    /// Each start tag, and what the text is.
    fn parsed(html: &str) -> (Vec<StartTag<()>>, String) {
        let (mut tags, mut text) = (Vec::new(), String::new());
        for token in Tokenizer::new(html) {
            match token.unwrap_or_else(|never| match never {}) {
                Token::StartTag(tag) => tags.push(tag),
                Token::String(piece) => text.push_str(&String::from_utf8_lossy(&piece)),
                Token::Error(error) => panic!("{error:?}"),
                _ => {}
            }
        }
        (tags, text)
    }

    #[test]
    fn whatever_is_put_in_stays_text() {
        let rows = || vec![Row { name: HOSTILE.to_owned(), lengths: vec![1.0.into(), 2.0.into()] }];
        let mut page = Page::new(HOSTILE);
        page.heading(HOSTILE);
        page.text(HOSTILE);
        page.table(HOSTILE, &[HOSTILE], &[vec![HOSTILE.to_owned()]]);
        for html in [
            page.finish(),
            curves(Stack::Lines, vec![series(HOSTILE, &[(0.0, 1.0)]), series("b", &[])]),
            bars(Layout::Apart, rows()),
            bars(Layout::InLine, rows()),
        ] {
            let (tags, text) = parsed(&html);
            assert!(tags.iter().all(|tag| *tag.name != b"script"[..]), "{html}");
            assert!(tags.iter().flat_map(|tag| tag.attributes.keys()).all(|name| !name.starts_with(b"on")), "{html}");
            assert!(text.contains(HOSTILE), "{html}");
        }
    }

    #[test]
    fn a_page_refers_to_nothing() {
        let rows = vec![Row { name: "a".to_owned(), lengths: vec![1.0.into(), 2.0.into()] }];
        for html in [bars(Layout::Apart, rows), curves(Stack::Areas, vec![series("a", &[(0.0, 1.0), (1.0, 2.0)])])] {
            let (tags, _) = parsed(&html);
            let refers =
                |name: &[u8]| [&b"src"[..], b"href", b"xlink:href", b"data", b"action", b"srcset"].contains(&name);
            assert!(tags.iter().flat_map(|tag| tag.attributes.keys()).all(|name| !refers(name)), "{html}");
            let style = html.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
            assert!(!style.contains("url(") && !style.contains("@import"));
        }
    }

    #[test]
    fn areas_are_piled_up_and_the_last_one_ends_at_the_sum() {
        let all = [series("a", &[(0.0, 0.25), (1.0, 0.5)]), series("b", &[(0.0, 0.75), (1.0, f64::NAN)])];
        assert_eq!(piled(&all), [vec![(0.0, 0.25), (1.0, 0.5)], vec![(0.0, 1.0), (1.0, 0.5)]]);
    }

    #[test]
    fn bars_are_as_long_as_what_they_stand_for() {
        let html = bars(Layout::Apart, vec![Row { name: "a".to_owned(), lengths: vec![10.0.into(), 20.0.into()] }]);
        let (tags, _) = parsed(&html);
        let width = |tag: &StartTag<()>| {
            let is_filled = tag.attributes.get(&b"fill"[..]).is_some_and(|fill| ***fill != b"none"[..]);
            let width = (*tag.name == b"rect"[..] && is_filled).then(|| tag.attributes.get(&b"width"[..]))??;
            String::from_utf8_lossy(width).parse::<f64>().ok()
        };
        let widths: Vec<f64> = tags.iter().filter_map(width).collect();
        assert!(widths.len() == 2 && (widths[1] - 2.0 * widths[0]).abs() <= 2.0, "{widths:?}");
    }

    #[test]
    fn the_table_has_every_number_also_where_a_series_has_none() {
        let all = [series("a", &[(0.0, 12.0), (2.0, 0.012345)]), series("b", &[(1.0, 1234.5678)])];
        assert_eq!(rows_of(&all), [["0", "12", ""], ["1", "", "1234.568"], ["2", "0.0123", ""]]);
    }

    #[test]
    fn plots_of_nothing_and_of_what_is_no_number_are_drawn_all_the_same() {
        for stack in [Stack::Lines, Stack::Areas] {
            for points in [&[][..], &[(0.0, f64::NAN)], &[(f64::INFINITY, 1.0)], &[(1.0, 1.0)]] {
                assert!(curves(stack, vec![series("a", points)]).contains("</svg>"));
            }
        }
        assert!(bars(Layout::Apart, vec![]).contains("</svg>"));
        assert!(
            bars(Layout::InLine, vec![Row { name: "a".into(), lengths: vec![f64::NAN.into()] }]).contains("</svg>")
        );
    }
}
