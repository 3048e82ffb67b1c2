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
}

impl Table {
    /// All, in the order of their numbers.
    pub(super) const ALL: [Self; 5] = [Self::Meta, Self::Streams, Self::Publications, Self::Keys, Self::KeyLog];
    const COUNT: u8 = Self::ALL.len() as u8;

    /// Its name in the file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Streams => "streams",
            Self::Publications => "publications",
            Self::Keys => "keys",
            Self::KeyLog => "key_log",
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

    /// Writes a row.
    pub(super) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.push(table as u8, key, value);
    }

    /// Removes a row.
    pub(super) fn delete(&mut self, table: Table, key: &[u8]) {
        self.push(table as u8 + Table::COUNT, key, &[]);
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
        let table = *Table::ALL.get(usize::from(head[0] % Table::COUNT))?;
        rest = after;
        Some((table, key, (head[0] < Table::COUNT).then_some(value)))
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
}
