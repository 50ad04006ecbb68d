//! A few lower-case texts, any of which makes an answer a refusal.

/// The texts by their first byte. The texts searched are short, so that setting up a searcher for each would be most of the work.
#[derive(Debug)]
pub struct Markers {
    list: Vec<Vec<u8>>,
    first: [u64; 256], // bit n: text n starts with this byte
}

impl Markers {
    /// At most 64 texts, none empty; what is over is not looked for.
    pub fn new(mut list: Vec<Vec<u8>>) -> Self {
        list.truncate(64);
        let mut first = [0; 256];
        for (number, text) in list.iter().enumerate() {
            for byte in text.first().into_iter().flat_map(|byte| [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()]) {
                if let Some(bits) = first.get_mut(usize::from(byte)) {
                    *bits |= 1 << number;
                }
            }
        }
        Self { list, first }
    }

    /// Whether one of them is in `text`, in whatever case.
    pub fn any_in(&self, text: &[u8]) -> bool {
        text.iter().enumerate().any(|(at, byte)| {
            let bits = self.first.get(usize::from(*byte)).copied().unwrap_or_default();
            bits != 0 && self.any_at(bits, text.get(at..).unwrap_or_default())
        })
    }

    fn any_at(&self, mut bits: u64, text: &[u8]) -> bool {
        while bits != 0 {
            let marker = self.list.get(bits.trailing_zeros() as usize);
            if marker.is_some_and(|marker| text.get(..marker.len()).is_some_and(|head| head.eq_ignore_ascii_case(marker))) {
                return true;
            }
            bits &= bits - 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_them_anywhere() {
        let markers = Markers::new(vec![b"not found".to_vec(), b"denied".to_vec(), b"no such".to_vec()]);
        for text in ["Denied", "x NOT found", "nnot found", "no no such"] {
            assert!(markers.any_in(text.as_bytes()), "{text}");
        }
        for text in ["", "d", "not foun", "no suc", "denie d"] {
            assert!(!markers.any_in(text.as_bytes()), "{text}");
        }
    }
}
