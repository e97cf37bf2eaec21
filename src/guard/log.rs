//! Lines for the operator, written to standard error (PostgreSQL's own log file, once PostgreSQL runs) in one write
//! each and without allocating, so that they also appear on a machine that has no memory left.

use std::fmt::{self, Write};

use rustix::time::ClockId;

const LINE_BYTES: usize = 256;

/// Writes `2026-03-01 12:00:00 UTC interrex-guard: …`. What does not fit a line is cut off; a log that cannot be
/// written is no reason to stop guarding.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; LINE_BYTES], len: 0 };
    let now = rustix::time::clock_gettime(ClockId::Realtime).tv_sec;
    let (year, month, day) = civil_date(now.div_euclid(86_400));
    let second = now.rem_euclid(86_400);
    let _ = write!(
        line,
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC interrex-guard: {text}",
        second / 3600,
        second / 60 % 60,
        second % 60
    );
    line.end();
    let _ = rustix::io::write(rustix::stdio::stderr(), &line.bytes[..line.len]);
}

struct Line {
    bytes: [u8; LINE_BYTES],
    len: usize,
}

impl Line {
    fn end(&mut self) {
        let at = self.len.min(LINE_BYTES - 1);
        self.bytes[at] = b'\n';
        self.len = at + 1;
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let take = text.len().min(LINE_BYTES - self.len);
        self.bytes[self.len..self.len + take].copy_from_slice(&text.as_bytes()[..take]);
        self.len += take;
        Ok(())
    }
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil_date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates_also_around_a_leap_day() {
        assert_eq!(civil_date(0), (1970, 1, 1));
        assert_eq!(civil_date(19_782), (2024, 2, 29));
        assert_eq!(civil_date(19_783), (2024, 3, 1));
        assert_eq!(civil_date(-1), (1969, 12, 31));
    }

    #[test]
    fn a_line_too_long_is_cut_and_still_ends() {
        let mut line = Line { bytes: [0; LINE_BYTES], len: 0 };
        line.write_str(&"x".repeat(1000)).unwrap();
        line.end();
        assert_eq!((line.len, line.bytes[LINE_BYTES - 1]), (LINE_BYTES, b'\n'));
    }
}
