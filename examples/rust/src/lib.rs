//! Makes a title fit for an address.

/// Lower case, words joined by `-`: "Hello, World!" gives "hello-world".
pub fn slug(title: &str) -> String {
    let words = title
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words
        .map(str::to_ascii_lowercase)
        .collect::<Vec<_>>()
        .join("-")
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn words_are_joined() {
        assert_eq!(slug("Hello, World!"), "hello-world");
        assert_eq!(slug("?!"), "");
    }
}
