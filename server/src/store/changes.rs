//! What a transaction does to the tables, as bytes: the database applies it, the journal keeps it.

/// The tables. Their keys sort as bytes, so numbers in them are big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// Name → what concerns the whole store.
    Meta,
    /// Stream → its id, offsets and ttl.
    Streams,
    /// Stream's id and offset → publication.
    Publications,
    /// Origin, stream and key → what it stands for.
    Keys,
    /// Number, in the order of arrival → time and key: which keys end next.
    KeyLog,
    /// Process and number, in the order of arrival → what it has sent.
    Sent,
}

impl Table {
    /// All, in the order of their numbers.
    pub(super) const ALL: [Self; 6] =
        [Self::Meta, Self::Streams, Self::Publications, Self::Keys, Self::KeyLog, Self::Sent];

    /// Its name in the file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Streams => "streams",
            Self::Publications => "publications",
            Self::Keys => "keys",
            Self::KeyLog => "key_log",
            Self::Sent => "sent",
        }
    }
}

/// One row written (`Some`) or removed.
pub(super) type Change<'a> = (Table, &'a [u8], Option<&'a [u8]>);

/// Changes in order; applying them twice is the same as once.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    bytes: Vec<u8>,
    count: usize,
}

impl Changes {
    const HEAD: usize = 9;
    /// Tables that journals of format 1 know: their number says that a row is written, this much more that it is
    /// removed. Later tables come behind, so that such a journal can still be read.
    const FIRST_TABLES: u8 = 5;

    /// Writes a row.
    pub(super) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.push(Self::kind(table, false), key, value);
    }

    /// Removes a row.
    pub(super) fn delete(&mut self, table: Table, key: &[u8]) {
        self.push(Self::kind(table, true), key, &[]);
    }

    fn kind(table: Table, is_removed: bool) -> u8 {
        let (first, number) = (Self::FIRST_TABLES, table as u8);
        if number < first { number + u8::from(is_removed) * first } else { number * 2 + u8::from(is_removed) }
    }

    /// Table and whether the row is removed.
    fn parse_kind(kind: u8) -> Option<(Table, bool)> {
        let (first, table) = (Self::FIRST_TABLES, |number: u8| Table::ALL.get(usize::from(number)).copied());
        if kind < 2 * first {
            Some((table(kind % first)?, kind >= first))
        } else {
            Some((table(kind / 2)?, !kind.is_multiple_of(2)))
        }
    }

    fn push(&mut self, kind: u8, key: &[u8], value: &[u8]) {
        // Rows are bounded by the largest publication, far below 4 GiB.
        let lengths = [key.len() as u32, value.len() as u32];
        self.bytes.push(kind);
        self.bytes.extend(lengths.iter().flat_map(|length| length.to_le_bytes()));
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.count += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// All of them as bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        parse(&self.bytes)
    }
}

/// The changes in what [`Changes::as_bytes`] gave; ends at the first that is none.
pub(super) fn parse(mut rest: &[u8]) -> impl Iterator<Item = Change<'_>> {
    std::iter::from_fn(move || {
        let (head, after) = rest.split_at_checked(Changes::HEAD)?;
        let length = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        let (key, after) = after.split_at_checked(length(1))?;
        let (value, after) = after.split_at_checked(length(5))?;
        let (table, is_removed) = Changes::parse_kind(head[0])?;
        rest = after;
        Some((table, key, (!is_removed).then_some(value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_back_in_order_and_end_where_the_bytes_do() {
        let mut changes = Changes::default();
        changes.put(Table::Streams, b"key", b"value");
        changes.delete(Table::KeyLog, b"gone");
        let expected = [(Table::Streams, &b"key"[..], Some(&b"value"[..])), (Table::KeyLog, b"gone", None)];
        assert_eq!(changes.iter().collect::<Vec<_>>(), expected);
        let cut = &changes.as_bytes()[..changes.as_bytes().len() - 1];
        assert_eq!(parse(cut).collect::<Vec<_>>(), expected[..1]);
    }

    #[test]
    fn what_is_done_to_tables_looks_in_the_journal_as_it_did_in_format_1() {
        for (index, table) in Table::ALL.into_iter().enumerate() {
            let mut changes = Changes::default();
            changes.put(table, b"a", b"b");
            changes.delete(table, b"a");
            let kinds = [changes.as_bytes()[0], changes.as_bytes()[Changes::HEAD + 2]];
            let expected = if table == Table::Sent { [10, 11] } else { [index as u8, index as u8 + 5] };
            assert_eq!(kinds, expected, "{table:?}");
            assert_eq!(changes.iter().collect::<Vec<_>>(), [(table, &b"a"[..], Some(&b"b"[..])), (table, b"a", None)]);
        }
    }
}
