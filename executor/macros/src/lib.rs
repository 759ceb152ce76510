//! `async fn main`, and tests that are futures.
//! An async function is a function that returns a future; something has to run it. These attributes take the `async` away
//! and put what was in the body into a run:
//!
//! ```text
//!   #[windlass::main]                         fn main() -> R {
//!   async fn main() -> R { body }      ──►        ::windlass::run(async move { body })
//!                                             }
//! ```
//!
//! A function's tokens end with its body, so there is hardly anything to parse: attributes, visibility and return type go
//! through as they are, with their places in the source. What cannot be a `main` or a test is told at the token at fault.
//! No parser from elsewhere: this crate is built before anything that uses it.
//!
//! Not here: what a run is (`run` in the facade).

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// Makes of an `async fn` a function that [runs](https://docs.rs/windlass/latest/windlass/fn.run.html) it: on a fresh loop,
/// to its end, with the tasks that are left cancelled and waited for.
///
/// Attributes, visibility and return type stay. The function has no arguments and is not generic.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, function: TokenStream) -> TokenStream {
    let made = match arguments.into_iter().next() {
        Some(argument) => Err(Error::at(argument.span(), "#[windlass::main] takes no arguments")),
        None => make(function, "#[windlass::main]", "main", Vec::new()),
    };
    made.unwrap_or_else(Error::into_tokens)
}

/// Makes of an `async fn` a `#[test]` that runs it as `main` is run, except that Ctrl-C is left alone. With
/// `#[windlass::test(paused)]` the loop's clock is paused: it jumps to the next deadline when nothing can run.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, function: TokenStream) -> TokenStream {
    let runner = match &arguments.into_iter().collect::<Vec<_>>()[..] {
        [] => Ok("test"),
        [TokenTree::Ident(paused)] if paused.to_string() == "paused" => Ok("test_paused"),
        [first, ..] => Err(Error::at(first.span(), "#[windlass::test] takes nothing, or `paused`")),
    };
    let test = || path(&["core", "prelude", "v1", "test"], Span::call_site()); // the built-in one, whatever is imported
    let attribute = || vec![punct('#', Span::call_site()), group(Delimiter::Bracket, test(), Span::call_site())];
    let made = runner.and_then(|runner| make(function, "#[windlass::test]", runner, attribute()));
    made.unwrap_or_else(Error::into_tokens)
}

/// What is wrong, and where.
struct Error {
    at: Span,
    what: String,
}

impl Error {
    fn at(at: Span, what: impl Into<String>) -> Self {
        Error { at, what: what.into() }
    }

    fn into_tokens(self) -> TokenStream {
        let mut what = Literal::string(&self.what);
        what.set_span(self.at);
        let mut tokens = path(&["core", "compile_error"], self.at);
        tokens.extend([
            punct('!', self.at),
            group(Delimiter::Brace, TokenTree::from(what).into(), self.at), // in braces it is an item by itself
        ]);
        tokens
    }
}

/// The function without its `async`, after `attributes`, with a body that calls `runner` with what the body was.
fn make(function: TokenStream, name: &str, runner: &str, attributes: Vec<TokenTree>) -> Result<TokenStream, Error> {
    let mut tokens: Vec<TokenTree> = function.into_iter().collect();
    let here = Span::call_site();
    let is_word = |token: &TokenTree, word| matches!(token, TokenTree::Ident(ident) if ident.to_string() == word);
    let Some(fn_at) = tokens.iter().position(|token| is_word(token, "fn")) else {
        return Err(Error::at(
            tokens.first().map_or(here, TokenTree::span),
            format!("{name} goes before an `async fn`"),
        ));
    };
    let Some(async_at) = tokens[..fn_at].iter().position(|token| is_word(token, "async")) else {
        return Err(Error::at(tokens[fn_at].span(), format!("{name} needs an `async fn`: this one does not await")));
    };
    // fn NAME (ARGUMENTS) … { BODY }
    match tokens.get(fn_at + 2) {
        Some(TokenTree::Group(arguments)) if !arguments.stream().is_empty() => {
            return Err(Error::at(arguments.span(), format!("{name}: nobody passes arguments to this function")));
        }
        Some(TokenTree::Group(_)) => {}
        Some(generics) => {
            return Err(Error::at(
                generics.span(),
                format!("{name}: the function cannot be generic: nobody names the types"),
            ));
        }
        None => return Err(Error::at(tokens[fn_at].span(), format!("{name} needs a whole function"))),
    }
    let Some(TokenTree::Group(body)) = tokens.pop().filter(is_body) else {
        return Err(Error::at(tokens[fn_at].span(), format!("{name} needs a function with a body")));
    };
    tokens.remove(async_at);
    let call = call(runner, body);
    let made = attributes.into_iter().chain(tokens).chain([call]);
    Ok(made.collect())
}

fn is_body(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// `{ ::windlass::__runners::RUNNER(async move BODY) }`, which is said to be where the body was: so errors in types are.
fn call(runner: &str, body: Group) -> TokenTree {
    let at = body.span();
    let mut call = path(&["windlass", "__runners", runner], at.resolved_at(Span::call_site()));
    let words = ["async", "move"].map(|word| TokenTree::from(Ident::new(word, at)));
    let future = words.into_iter().chain([TokenTree::from(body)]).collect();
    call.extend([group(Delimiter::Parenthesis, future, at)]);
    group(Delimiter::Brace, call, at)
}

/// `::a::b`
fn path(names: &[&str], span: Span) -> TokenStream {
    let colon = |spacing| {
        let mut colon = Punct::new(':', spacing);
        colon.set_span(span);
        TokenTree::from(colon)
    };
    let name = |name: &&str| [colon(Spacing::Joint), colon(Spacing::Alone), Ident::new(name, span).into()];
    names.iter().flat_map(name).collect()
}

fn punct(character: char, span: Span) -> TokenTree {
    let mut punct = Punct::new(character, Spacing::Alone);
    punct.set_span(span);
    punct.into()
}

fn group(delimiter: Delimiter, tokens: TokenStream, span: Span) -> TokenTree {
    let mut group = Group::new(delimiter, tokens);
    group.set_span(span);
    group.into()
}
