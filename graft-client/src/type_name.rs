//! What a type is called in an error: as it is written in code, without the modules that it comes from.

/// `Option<String>`, and not `core::option::Option<alloc::string::String>`.
pub(crate) fn type_name<T: ?Sized>() -> String {
    without_modules(std::any::type_name::<T>())
}

fn without_modules(full: &str) -> String {
    let mut short = String::with_capacity(full.len());
    let mut word = 0;
    let mut rest = full.chars().peekable();
    while let Some(c) = rest.next() {
        if c == ':' && rest.next_if_eq(&':').is_some() {
            short.truncate(word);
        } else {
            short.push(c);
            if !c.is_alphanumeric() && c != '_' {
                word = short.len();
            }
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn modules_are_left_out_and_nothing_else() {
        assert_eq!(type_name::<Option<String>>(), "Option<String>");
        assert_eq!(type_name::<BTreeMap<String, Vec<(u8, [i64; 3])>>>(), "BTreeMap<String, Vec<(u8, [i64; 3])>>");
        assert_eq!(type_name::<&'static str>(), "&str");
        assert_eq!(type_name::<()>(), "()");
        assert_eq!(without_modules("a::b_c::D<e::F, g::H<i::J>>"), "D<F, H<J>>");
    }
}
