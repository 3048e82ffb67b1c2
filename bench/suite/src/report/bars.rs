//! Horizontal bars as SVG, readable on light and dark pages.

use std::fmt::Write;

use super::number;

const WIDTH: f64 = 760.0;
/// Where the bars begin; labels end a little before.
const LEFT: f64 = 190.0;
/// Room for the figures behind the longest bar.
const RIGHT: f64 = 150.0;
const BAR: f64 = 16.0;
const STEP: f64 = 22.0;
const GROUP: f64 = 30.0;
const TOP: f64 = 58.0;

/// Colours that people with colour blindness can tell apart (Okabe and Ito).
pub(super) const OURS: &str = "#0072b2";
pub(super) const YARDSTICK: &str = "#767676";
pub(super) const RIVAL: &str = "#e69f00";
pub(super) const BAD: &str = "#d55e00";

/// One bar; the whisker shows its interval.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: f64,
    pub(super) whisker: (f64, f64),
    pub(super) colour: &'static str,
    /// What is written behind it.
    pub(super) note: String,
}

/// Bars under one heading.
pub(super) struct Group {
    pub(super) heading: String,
    pub(super) bars: Vec<Bar>,
}

/// A whole chart. `line` is a value to compare the bars with.
pub(super) fn draw(title: &str, subtitle: &str, groups: &[Group], line: Option<(f64, &str)>) -> String {
    let bars = || groups.iter().flat_map(|group| &group.bars);
    let most = bars().map(|bar| bar.whisker.1.max(bar.value)).chain(line.map(|(value, _)| value)).fold(0.0, f64::max);
    let scale = if most > 0.0 { (WIDTH - LEFT - RIGHT) / most } else { 0.0 };
    let headings = groups.iter().filter(|group| !group.heading.is_empty()).count() as f64;
    let height = TOP + headings * GROUP + bars().count() as f64 * STEP + 26.0;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" font-family="system-ui, sans-serif" font-size="13">
<title>{}</title>
<rect width="100%" height="100%" rx="6" fill="#ffffff"/>
<text x="16" y="24" font-size="16" font-weight="600" fill="#1a1a1a">{}</text>
<text x="16" y="43" fill="#555555">{}</text>
"##,
        escape(title),
        escape(title),
        escape(subtitle)
    );
    let mut y = TOP;
    for group in groups {
        if !group.heading.is_empty() {
            element(
                &mut svg,
                &format!(
                    r##"<text x="16" y="{}" font-weight="600" fill="#1a1a1a">{}</text>"##,
                    y + 19.0,
                    escape(&group.heading)
                ),
            );
            y += GROUP;
        }
        for bar in &group.bars {
            row(&mut svg, bar, y, scale);
            y += STEP;
        }
    }
    if let Some((value, text)) = line {
        let x = LEFT + value * scale;
        element(
            &mut svg,
            &format!(
                r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{:.1}" stroke="#1a1a1a" stroke-dasharray="4 3"/>"##,
                y + 2.0
            ),
        );
        element(
            &mut svg,
            &format!(
                r##"<text x="{x:.1}" y="{:.1}" text-anchor="middle" fill="#1a1a1a">{}</text>"##,
                y + 17.0,
                escape(text)
            ),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn row(svg: &mut String, bar: &Bar, y: f64, scale: f64) {
    let (middle, width) = (y + BAR / 2.0, (bar.value * scale).max(1.0));
    element(
        svg,
        &format!(
            r##"<text x="{}" y="{}" text-anchor="end" fill="#1a1a1a">{}</text>"##,
            LEFT - 8.0,
            middle + 4.5,
            escape(&bar.label)
        ),
    );
    element(
        svg,
        &format!(r##"<rect x="{LEFT}" y="{y}" width="{width:.1}" height="{BAR}" rx="2" fill="{}"/>"##, bar.colour),
    );
    let (low, high) = (LEFT + bar.whisker.0 * scale, LEFT + bar.whisker.1 * scale);
    if high - low > 2.0 {
        element(
            svg,
            &format!(
                r##"<path d="M{low:.1} {middle}H{high:.1}M{low:.1} {}v6M{high:.1} {}v6" stroke="#1a1a1a" fill="none"/>"##,
                middle - 3.0,
                middle - 3.0
            ),
        );
    }
    let note = if bar.note.is_empty() { number(bar.value) } else { bar.note.clone() };
    element(
        svg,
        &format!(
            r##"<text x="{:.1}" y="{}" fill="#1a1a1a">{}</text>"##,
            high.max(LEFT + width) + 7.0,
            middle + 4.5,
            escape(&note)
        ),
    );
}

fn element(svg: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(svg, "{text}");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_the_drawing() {
        let bar =
            Bar { label: "a<b & \"c\"".to_owned(), value: 2.0, whisker: (1.0, 3.0), colour: OURS, note: String::new() };
        let svg = draw("t", "s", &[Group { heading: String::new(), bars: vec![bar] }], Some((1.5, "target")));
        assert!(svg.contains("a&lt;b &amp; &quot;c&quot;") && svg.ends_with("</svg>\n"), "{svg}");
    }
}
