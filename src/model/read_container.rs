//! Containers and services.

use crate::diagnostic::Diagnostic;
use crate::span::Spanned;

use super::codes;
use super::read::{Field, Reader, start_of};
use super::tables::{CONTAINER, CREDENTIALS};
use super::{Container, Credentials, Dialect, Service, Text};

impl Reader {
    /// `container`, `image` or a service, as a text or a map.
    pub(super) fn container(&mut self, field: Field<'_>, what: &str) -> Option<Container> {
        let span = field.node.span;
        if field.node.entries().is_none() {
            let image = self.text(field)?;
            if field.node.is_null() {
                self.no_image(span, what);
                return None;
            }
            return Some(plain(image));
        }
        let fields = self.fields(field.node, &CONTAINER)?;
        let credentials = fields.get("credentials").and_then(|field| self.credentials(field));
        let mut command = fields.get("command").map(|field| self.words(field)).unwrap_or_default();
        command.extend(fields.get("args").map(|field| self.words(field)).unwrap_or_default());
        for name in ["command", "args", "entrypoint"] {
            if let Some(field) = fields.get(name).filter(|_| self.dialect == Dialect::Workflow) {
                let message = format!("\"{name}\" of a container needs a file with \"stages\"");
                self.push(Diagnostic::error(codes::UNKNOWN_KEY, field.span, message).help("use \"options\""));
            }
        }
        if let Some(entrypoint) = fields.get("entrypoint") {
            command.splice(0..0, self.words(entrypoint));
        }
        let env = self.env(fields.get("env"));
        let ports = fields.get("ports").map(|field| self.texts(field)).unwrap_or_default();
        let volumes = fields.get("volumes").map(|field| self.texts(field)).unwrap_or_default();
        let options = self.optional_text(fields.get("options"));
        let image = match fields.get("image") {
            None => {
                self.no_image(start_of(field.node), what);
                return None;
            }
            Some(image) if image.node.is_null() => {
                self.no_image(image.node.span, what);
                return None;
            }
            Some(image) => self.text(image)?,
        };
        Some(Container { image, credentials, env, ports, volumes, options, command, span })
    }

    fn no_image(&mut self, span: crate::span::Span, what: &str) {
        let message = format!("{what} needs an image");
        self.push(Diagnostic::error(codes::CONTAINER, span, message).help("for example: image: \"node:20\""));
    }

    /// A command: a list of words, or one text that is split at its spaces.
    fn words(&mut self, field: Field<'_>) -> Vec<Text> {
        if field.node.items().is_some() {
            return self.texts(field);
        }
        let Some(text) = self.text(field) else { return Vec::new() };
        match text.template.as_literal() {
            Some(literal) => literal.split_whitespace().map(|word| Text::literal(word, text.span)).collect(),
            None => vec![text],
        }
    }

    fn credentials(&mut self, field: Field<'_>) -> Option<Credentials> {
        let fields = self.fields(field.node, &CREDENTIALS)?;
        let username = fields.get("username").and_then(|field| self.text(field));
        let password = fields.get("password").and_then(|field| self.text(field));
        Some(Credentials { username: username?, password: password? })
    }

    /// `services`.
    pub(super) fn services(&mut self, field: Field<'_>) -> Vec<Service> {
        if field.node.is_null() {
            return Vec::new();
        }
        let Some(entries) = field.node.entries() else {
            self.wrong_kind(field.node, "\"services\" is a map of ids to containers");
            return Vec::new();
        };
        let mut services = Vec::with_capacity(entries.len());
        for entry in entries {
            let id = Spanned::new(entry.key.to_string(), entry.key_span);
            self.check_id("a service", &id);
            let field = Field { name: "image", span: entry.key_span, node: &entry.value, contexts: field.contexts };
            services.extend(self.container(field, "a service").map(|container| Service { id, container }));
        }
        services
    }
}

fn plain(image: Text) -> Container {
    Container {
        span: image.span,
        image,
        credentials: None,
        env: Vec::new(),
        ports: Vec::new(),
        volumes: Vec::new(),
        options: None,
        command: Vec::new(),
    }
}
