//! The picture of one run, as SVG: a lane for each instance with what it was in which epoch and how far it lagged, the fault
//! as a bar over all of them, the clients' acknowledgements below, and what the coordinators told at its moment.

use std::fmt::Write;

use crate::film::{Frame, Looks, Shot};
use crate::story::Story;

/// Of the whole, and of what stands to the left of the lanes.
const WIDTH: f64 = 1_000.0;
const MARGIN: f64 = 90.0;
const LANE: f64 = 34.0;
const FAULT: f64 = 26.0;
const CLIENTS: f64 = 60.0;
const AXIS: f64 = 22.0;
/// So many bars of acknowledgements.
const BARS: u64 = 180;
/// Moments of the story that are drawn through all lanes.
const MARKED: [&str; 5] = ["failover-begun", "handing-over", "elected", "promoted", "opened"];

/// Draws it.
pub(crate) fn picture(story: &Story) -> String {
    let scale = Scale { from: story.began_ms, to: story.ended_ms.max(story.began_ms + 1) };
    let names = names(&story.frames);
    let lanes = LANE * f64::from(u32::try_from(names.len()).unwrap_or(u32::MAX));
    let height = FAULT + lanes + CLIENTS + AXIS;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"the run over time\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n"
    );
    fault(&mut svg, &scale, story, FAULT + lanes + CLIENTS);
    for (lane, name) in (0_u32..).zip(&names) {
        let top = FAULT + LANE * f64::from(lane);
        label(&mut svg, top + LANE * 0.6, name);
        roles(&mut svg, &scale, &story.frames, name, top);
        lag(&mut svg, &scale, &story.frames, name, top);
    }
    label(&mut svg, FAULT + lanes + CLIENTS * 0.6, "clients");
    clients(&mut svg, &scale, story, FAULT + lanes);
    marks(&mut svg, &scale, story, FAULT + lanes + CLIENTS);
    axis(&mut svg, &scale, story, height);
    svg.push_str("</svg>\n");
    svg
}

/// Where a moment is.
struct Scale {
    from: u64,
    to: u64,
}

impl Scale {
    fn x(&self, at_ms: u64) -> f64 {
        let at = at_ms.clamp(self.from, self.to) - self.from;
        MARGIN + (WIDTH - MARGIN) * at as f64 / (self.to - self.from) as f64
    }
}

fn names(frames: &[Frame]) -> Vec<String> {
    let mut names: Vec<String> =
        frames.iter().flat_map(|frame| frame.instances.iter().map(|shot| shot.name.clone())).collect();
    names.sort();
    names.dedup();
    names
}

fn label(svg: &mut String, y: f64, text: &str) {
    put(svg, format_args!("<text class=\"name\" x=\"4\" y=\"{y:.1}\">{}</text>", escaped(text)));
}

fn fault(svg: &mut String, scale: &Scale, story: &Story, height: f64) {
    let (from, to) = (scale.x(story.struck_ms), scale.x(story.healed_ms));
    let width = (to - from).max(2.0);
    put(
        svg,
        format_args!(
            "<rect class=\"struck\" x=\"{from:.1}\" y=\"0\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        ),
    );
    let text = escaped(story.what);
    put(svg, format_args!("<text class=\"fault\" x=\"{:.1}\" y=\"16\">{text}</text>", from + 4.0));
}

/// One bar for as long as it was the same.
fn roles(svg: &mut String, scale: &Scale, frames: &[Frame], name: &str, top: f64) {
    let seen: Vec<(u64, Option<(Looks, u32)>)> = frames
        .iter()
        .map(|frame| {
            let looks = shot(frame, name).map(|shot| shot.looks);
            (frame.at_ms, looks.zip(frame.epoch))
        })
        .collect();
    let mut at = 0;
    while let Some((from, what)) = seen.get(at).copied() {
        let next = seen[at..].iter().position(|(_, other)| *other != what).map(|more| at + more);
        let to = next.map_or(scale.to, |next| seen[next].0);
        if let Some((looks, epoch)) = what {
            let (left, right) = (scale.x(from), scale.x(to));
            let (width, words) = ((right - left).max(1.0), words(looks));
            put(
                svg,
                format_args!(
                    "<rect class=\"{}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\">\
                     <title>{} {words}, epoch {epoch}</title></rect>",
                    class(looks),
                    top + 3.0,
                    LANE - 6.0,
                    escaped(name)
                ),
            );
            if looks == Looks::Serves && width > 60.0 {
                let y = top + LANE * 0.6;
                put(
                    svg,
                    format_args!(
                        "<text class=\"epoch\" x=\"{:.1}\" y=\"{y:.1}\">epoch {epoch}</text>",
                        left + 5.0
                    ),
                );
            }
        }
        match next {
            Some(next) => at = next,
            None => return,
        }
    }
}

/// How far it lagged, against the most that anybody did.
fn lag(svg: &mut String, scale: &Scale, frames: &[Frame], name: &str, top: f64) {
    let most = frames.iter().flat_map(|frame| &frame.instances).filter_map(|shot| shot.lag).max();
    let Some(most) = most.filter(|most| *most > 0) else { return };
    let point = |frame: &Frame| {
        let lag = shot(frame, name)?.lag?;
        let height = (LANE - 8.0) * lag as f64 / most as f64;
        Some(format!("{:.1},{:.1}", scale.x(frame.at_ms), top + LANE - 4.0 - height))
    };
    // What is not known is a gap in the line.
    for line in frames.split(|frame| point(frame).is_none()).filter(|line| line.len() > 1) {
        let points: Vec<String> = line.iter().filter_map(point).collect();
        put(
            svg,
            format_args!(
                "<polyline class=\"lag\" points=\"{}\"><title>bytes behind, {most} at most</title></polyline>",
                points.join(" ")
            ),
        );
    }
}

fn clients(svg: &mut String, scale: &Scale, story: &Story, top: f64) {
    let span = (scale.to - scale.from).div_ceil(BARS).max(1);
    let mut bars = vec![0_u32; usize::try_from(BARS).unwrap_or_default()];
    // What was before the film is not drawn at its edge.
    for at in story.acks.iter().filter(|at| **at >= scale.from) {
        let bar =
            usize::try_from(at.saturating_sub(scale.from) / span).ok().and_then(|bar| bars.get_mut(bar));
        if let Some(bar) = bar {
            *bar += 1;
        }
    }
    let most = bars.iter().copied().max().unwrap_or_default().max(1);
    for (bar, count) in (0_u64..).zip(&bars).filter(|(_, count)| **count > 0) {
        let (left, right) = (scale.x(scale.from + bar * span), scale.x(scale.from + (bar + 1) * span));
        let height = (CLIENTS - 8.0) * f64::from(*count) / f64::from(most);
        put(
            svg,
            format_args!(
                "<rect class=\"acked\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\">\
                 <title>{count} acknowledged within {span} ms</title></rect>",
                top + CLIENTS - 4.0 - height,
                (right - left - 0.5).max(0.5)
            ),
        );
    }
    for (at, how) in story.troubled.iter().filter(|(at, _)| *at >= scale.from) {
        let x = scale.x(*at);
        put(
            svg,
            format_args!(
                "<line class=\"troubled\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"><title>{how}</title></line>",
                top + 2.0,
                top + CLIENTS - 4.0
            ),
        );
    }
}

fn marks(svg: &mut String, scale: &Scale, story: &Story, bottom: f64) {
    for told in story.told.iter().filter(|told| MARKED.contains(&told.kind.as_str())) {
        let x = scale.x(told.at_ms);
        put(
            svg,
            format_args!(
                "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{FAULT}\" y2=\"{bottom:.1}\"><title>{}: {}</title></line>",
                escaped(&told.kind),
                escaped(&told.text)
            ),
        );
    }
}

/// Seconds since the strike.
fn axis(svg: &mut String, scale: &Scale, story: &Story, height: f64) {
    let span = scale.to - scale.from;
    let step = [1, 2, 5, 10, 20, 60, 300].into_iter().map(|s: u64| s * 1_000).find(|step| span / step <= 20);
    let step = step.unwrap_or(600_000);
    let first = (story.struck_ms - scale.from) / step;
    let mut at = story.struck_ms.saturating_sub(first * step);
    while at <= scale.to {
        let (x, y) = (scale.x(at), height - 6.0);
        let seconds = (at as f64 - story.struck_ms as f64) / 1_000.0;
        put(svg, format_args!("<text class=\"tick\" x=\"{x:.1}\" y=\"{y:.1}\">{seconds:.0} s</text>"));
        at += step;
    }
}

fn shot<'a>(frame: &'a Frame, name: &str) -> Option<&'a Shot> {
    frame.instances.iter().find(|shot| shot.name == name)
}

/// Of the style sheet.
fn class(looks: Looks) -> &'static str {
    match looks {
        Looks::Serves => "serves",
        Looks::Elected => "elected",
        Looks::Streams => "streams",
        Looks::Waits => "waits",
        Looks::Joins => "joins",
        Looks::Unheard => "unheard",
    }
}

/// Each way to look, for the legend.
pub(crate) const LEGEND: [(&str, &str); 6] = [
    ("serves", "primary, open"),
    ("elected", "elected, not open"),
    ("streams", "standby, streaming"),
    ("waits", "standby, receives nothing"),
    ("joins", "copy being made"),
    ("unheard", "agent not heard"),
];

fn words(looks: Looks) -> &'static str {
    let class = class(looks);
    LEGEND.iter().find(|(known, _)| *known == class).map_or(class, |(_, words)| words)
}

/// As text of a page.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn put(svg: &mut String, line: std::fmt::Arguments<'_>) {
    // A String takes whatever it is given.
    let _ = svg.write_fmt(line);
    svg.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::Told;

    fn frame(at_ms: u64, epoch: u32, looks: [Looks; 2]) -> Frame {
        let shot = |(name, looks): (&str, Looks)| Shot { name: name.to_owned(), looks, lag: Some(at_ms) };
        Frame {
            at_ms,
            epoch: Some(epoch),
            instances: ["n1", "n2"].into_iter().zip(looks).map(shot).collect(),
        }
    }

    fn story() -> Story {
        let unseen = Frame { at_ms: 1_400, epoch: None, instances: Vec::new() };
        Story {
            what: "n1 <dies>",
            began_ms: 1_000,
            struck_ms: 1_200,
            healed_ms: 1_600,
            ended_ms: 2_000,
            frames: vec![
                frame(1_000, 2, [Looks::Serves, Looks::Streams]),
                frame(1_200, 2, [Looks::Serves, Looks::Streams]),
                unseen,
                frame(1_600, 3, [Looks::Unheard, Looks::Serves]),
            ],
            acks: vec![10, 1_100, 1_900],
            troubled: vec![(20, "refused"), (1_300, "no answer")],
            told: vec![Told {
                at_ms: 1_500,
                epoch: 3,
                kind: "elected".to_owned(),
                text: "n2 & co".to_owned(),
            }],
        }
    }

    #[test]
    fn a_lane_has_a_bar_for_as_long_as_it_was_the_same_and_none_while_nobody_told() {
        let svg = picture(&story());
        let count = |what: &str| svg.matches(what).count();
        assert_eq!(
            (count("class=\"serves\""), count("class=\"streams\""), count("class=\"unheard\"")),
            (2, 1, 1)
        );
        // From 1000 to 1400 ms of 1000: two fifths of what is beside the margin.
        assert!(svg.contains("class=\"serves\" x=\"90.0\" y=\"29.0\" width=\"364.0\""), "{svg}");
        assert!(svg.contains("<title>n1 primary, open, epoch 2</title>"), "{svg}");
        // One line before nobody told; a single point after it is none.
        assert_eq!(count("class=\"lag\""), 2);
    }

    #[test]
    fn what_was_before_the_film_is_not_drawn_and_words_are_words() {
        let svg = picture(&story());
        let count = |what: &str| svg.matches(what).count();
        assert_eq!((count("class=\"acked\""), count("class=\"troubled\"")), (2, 1));
        assert!(svg.contains("n1 &lt;dies&gt;") && svg.contains("elected: n2 &amp; co"), "{svg}");
        assert!(svg.contains(">0 s</text>"), "the axis counts from the strike: {svg}");
    }

    #[test]
    fn a_run_of_which_nothing_was_seen_is_drawn_all_the_same() {
        assert!(picture(&Story::default()).ends_with("</svg>\n"));
    }
}
