//! People.

use super::*;

impl Sample {
    pub(super) fn person_row(self, i: usize) -> PersonRow {
        const PEOPLE: [(&str, &str, &str); 8] = [
            ("ada", "Ada Lovelace", "accountants"),
            ("bo", "Bo Lindqvist", "traders"),
            ("ines", "Ines Moreau", "finance-leads"),
            ("lin", "Lin Wei", "engineers"),
            ("marek", "Marek Novák", "contractors"),
            ("tomasz", "Tomasz Zieliński", "sales"),
            ("yusuf", "Yusuf Demir", "warehouse"),
            ("zoe", "Zoë Okonkwo", "engineers"),
        ];
        let (pid, name, group) = PEOPLE[i % PEOPLE.len()];
        PersonRow {
            id: if i < PEOPLE.len() { id(pid) } else { id(&format!("{pid}-{i}")) },
            name: self.n(name),
            groups: vec![Link::group(&id(group), self.n(group))],
            active: i != 4,
            methods: if i.is_multiple_of(3) {
                [Method::Passkey].into()
            } else {
                [Method::Password, Method::Totp].into()
            },
            devices: 1,
            sessions: u64::from(i < 3),
            last: (i != 7).then(|| mins(i as u64 * 40)),
        }
    }
}

pub(super) fn person(sample: Sample) -> Person {
    Person {
        row: sample.person_row(0),
        facts: sample.list(sample.facts()),
        usage: sample.usage(),
        devices: sample.device_rows().into_iter().take(1).collect(),
        sessions: sample.sessions().into_iter().take(1).collect(),
        verdicts: sample.verdicts().into_iter().take(6).collect(),
        cuts: sample.cuts(),
    }
}
