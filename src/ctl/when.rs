//! Wall-clock milliseconds as UTC text, to the millisecond.

use interrex_cluster::time::WallMs;

/// `2026-11-22 16:05:09.123Z`.
pub(crate) fn utc(at: WallMs) -> String {
    let (days, of_day) = (at.0 / 86_400_000, at.0 % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute, second, ms) =
        (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Days since 1970-01-01 as a date of the Gregorian calendar. Counting years from March puts the leap day last, so
/// that month lengths repeat every five months (Howard Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_a_leap_day_and_today() {
        assert_eq!(utc(WallMs(0)), "1970-01-01 00:00:00.000Z");
        assert_eq!(utc(WallMs(1_709_164_800_000)), "2024-02-29 00:00:00.000Z");
        assert_eq!(utc(WallMs(1_795_363_509_123)), "2026-11-22 16:05:09.123Z");
    }
}
