//! The extension types: how they are read, and what one can ask of them.

use std::net::IpAddr;

use super::value::Net;

/// The longest text of an address: eight groups of four digits and a prefix.
const LONGEST_IP: usize = 43;
/// How many digits may follow the point of a decimal.
const DIGITS: usize = 4;
/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Reads `12.34`.
pub(crate) fn decimal(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.')?;
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole.strip_prefix('-').unwrap_or(whole)) || !digits(part) || part.len() > DIGITS {
        return None;
    }
    let whole_scaled = whole.parse::<i64>().ok()?.checked_mul(10_000)?;
    let missing = u32::try_from(DIGITS - part.len()).ok()?;
    let part = part.parse::<i64>().ok()?.checked_mul(10_i64.checked_pow(missing)?)?;
    if whole.starts_with('-') { whole_scaled.checked_sub(part) } else { whole_scaled.checked_add(part) }
}

/// Reads an address or a network.
pub(crate) fn ip(text: &str) -> Option<Net> {
    let twice = |c: char| text.matches(c).nth(1).is_some();
    if text.len() > LONGEST_IP || (twice(':') && twice('.')) {
        return None;
    }
    let (addr, prefix) = match text.split_once('/') {
        Some((addr, prefix)) => (addr.parse::<IpAddr>().ok()?, Some(prefix)),
        None => (text.parse::<IpAddr>().ok()?, None),
    };
    let longest: u8 = if addr.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => longest,
        Some(p) if p.bytes().all(|b| b.is_ascii_digit()) && (p == "0" || !p.starts_with('0')) => {
            p.parse::<u8>().ok().filter(|p| *p <= longest)?
        }
        Some(_) => return None,
    };
    Some(Net { addr, prefix })
}

impl Net {
    /// One address alone.
    pub(crate) fn one(addr: IpAddr) -> Self {
        Self { addr, prefix: if addr.is_ipv4() { 32 } else { 128 } }
    }

    /// First and last address, and whether it is the fourth version.
    fn span(self) -> (u128, u128, bool) {
        match self.addr {
            IpAddr::V4(a) => {
                let host = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                let a = u32::from(a);
                (u128::from(a & !host), u128::from(a | host), true)
            }
            IpAddr::V6(a) => {
                let host = u128::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                let a = u128::from(a);
                (a & !host, a | host, false)
            }
        }
    }

    pub(crate) fn is_in(self, other: Self) -> bool {
        let ((first, last, v4), (from, to, other_v4)) = (self.span(), other.span());
        v4 == other_v4 && from <= first && last <= to
    }

    pub(crate) fn is_v4(self) -> bool {
        self.addr.is_ipv4()
    }

    pub(crate) fn is_loopback(self) -> bool {
        self.addr.is_loopback() && self.prefix >= if self.is_v4() { 8 } else { 128 }
    }

    pub(crate) fn is_multicast(self) -> bool {
        self.addr.is_multicast() && self.prefix >= if self.is_v4() { 4 } else { 8 }
    }
}

/// Reads `1d2h3m4s5ms`, perhaps negative.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let units = [("ms", 4, 1), ("d", 0, DAY), ("h", 1, 3_600_000), ("m", 2, 60_000), ("s", 3, 1000)];
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest.is_empty() {
        return None;
    }
    let (mut total, mut next) = (0_i128, 0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
        let (number, tail) = rest.split_at(end);
        let (unit, place, scale) = units.into_iter().find(|(unit, ..)| tail.starts_with(unit))?;
        if place < next {
            return None;
        }
        next = place + 1;
        // Each part must fit by itself, as Cedar checks it. The smallest number alone fits only as milliseconds.
        let part = i128::from(number.parse::<u64>().ok()?) * i128::from(scale);
        let most = i128::from(i64::MAX) + i128::from(negative && unit == "ms");
        if part > most {
            return None;
        }
        total += part;
        rest = tail.get(unit.len()..)?;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// Reads a date, or a date with time and offset.
pub(crate) fn datetime(text: &str) -> Option<i64> {
    let mut at = Cursor(text.as_bytes());
    let year = at.number(4)?;
    at.byte(b'-')?;
    let month = at.number(2)?;
    at.byte(b'-')?;
    let day = at.number(2)?;
    let date = days(year, month, day);
    if at.0.is_empty() {
        return Some(date? * DAY);
    }
    at.byte(b'T')?;
    let hour = at.number(2)?;
    at.byte(b':')?;
    let minute = at.number(2)?;
    at.byte(b':')?;
    let second = at.number(2)?;
    let milli = if at.byte(b'.').is_some() { at.number(3)? } else { 0 };
    let offset = if at.byte(b'Z').is_some() {
        0
    } else {
        let sign = if at.byte(b'+').is_some() { 1 } else { at.byte(b'-').map(|()| -1)? };
        let (hours, minutes) = (at.number(2)?, at.number(2)?);
        if hours > 23 || minutes > 59 {
            return None;
        }
        sign * (hours * 3600 + minutes * 60)
    };
    if !at.0.is_empty() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(date? * DAY + (hour * 3600 + minute * 60 + second - offset) * 1000 + milli)
}

struct Cursor<'t>(&'t [u8]);

impl Cursor<'_> {
    fn byte(&mut self, wanted: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        (*first == wanted).then(|| self.0 = rest)
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        if !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.0 = rest;
        Some(number.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
    }
}

/// Days from 1970 to a date of the Gregorian calendar, if there is such a date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Midnight of the day of an instant.
pub(crate) fn to_date(instant: i64) -> Option<i64> {
    instant.checked_sub(instant.rem_euclid(DAY))
}

/// The time of day of an instant.
pub(crate) fn to_time(instant: i64) -> i64 {
    instant.rem_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_a_point_and_at_most_four_digits_behind_it() {
        let max = "922337203685477.5807";
        for (text, value) in [("0.0", 0), ("-0.5", -5000), ("12.34", 123_400), ("1.2345", 12_345), (max, i64::MAX)] {
            assert_eq!(decimal(text), Some(value), "{text}");
        }
        assert_eq!(decimal("-922337203685477.5808"), Some(i64::MIN));
        for text in ["", "1", "1.", ".1", "1.23456", "+1.0", "1.-2", "922337203685477.5808", "٣.٣", "1.0 "] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_are_read_as_cedar_reads_them() {
        assert_eq!(ip("10.0.0.1"), ip("10.0.0.1/32"));
        for text in ["10.0.0.1/33", "10.0.0.1/08", "10.0.0.1/", "10.0.0.1/+8", "::ffff:127.0.0.1", "10.0.0", "a"] {
            assert_eq!(ip(text), None, "{text}");
        }
        let within = |a: &str, b: &str| ip(a).unwrap().is_in(ip(b).unwrap());
        assert!(within("10.1.2.3", "10.0.0.0/8") && within("10.1.0.0/16", "10.0.0.0/8"));
        assert!(!within("10.0.0.0/8", "10.1.0.0/16") && !within("10.0.0.1", "::/0") && within("1.2.3.4", "0.0.0.0/0"));
        assert!(within("fe80::1", "fe80::/10") && within("::1", "::/0"));
        assert!(ip("127.0.0.0/8").unwrap().is_loopback() && !ip("127.0.0.0/7").unwrap().is_loopback());
    }

    #[test]
    fn durations_come_in_order_of_size() {
        for (text, value) in [("1h", 3_600_000), ("-3h5m", -11_100_000), ("5ms", 5), ("1m5ms", 60_005), ("0d", 0)] {
            assert_eq!(duration(text), Some(value), "{text}");
        }
        assert_eq!(duration("-9223372036854775808ms"), Some(i64::MIN));
        assert_eq!(duration("106751991167d7h12m55s807ms"), Some(i64::MAX));
        for text in ["", "-", "1", "1ms1s", "1h1d", "00000mm", "1x", "--1s", "9223372036854775808ms", "1hh"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn instants_are_read_with_and_without_time() {
        assert_eq!(datetime("1970-01-01"), Some(0));
        assert_eq!(datetime("0000-01-01"), Some(-62_167_219_200_000));
        assert_eq!(datetime("2024-10-15T11:38:02.101-1134"), datetime("2024-10-15T23:12:02.101Z"));
        assert_eq!(datetime("2024-02-29"), Some(1_709_164_800_000));
        for text in
            ["2023-02-29", "2024-10-15Z", "2024-10-15T11:38:02", "2024-10-15T24:00:00Z", "2024-10-15T11:38:02.1Z"]
        {
            assert_eq!(datetime(text), None, "{text}");
        }
        assert_eq!(datetime("2024-10-15T00:00:00+2400"), None);
        assert_eq!((to_time(-1), to_date(-1)), (DAY - 1, Some(-DAY)));
        assert_eq!(to_date(i64::MIN), None);
    }
}
