//! What follows the `?` of a path: read by the same schema that the OpenAPI document shows.

use graft_proto::errors::{Fault, nearest, quoted};
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::suggest;

/// A parameter of a query.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    /// Its key.
    pub(super) name: String,
    /// What it is for.
    pub(super) description: String,
    /// What it may be.
    pub(super) schema: Value,
}

/// How the text of a parameter is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Number,
    Flag,
    Text,
}

/// The parameters of a type whose fields may all be left out.
pub(super) fn parameters<Q: JsonSchema>(generator: &mut SchemaGenerator) -> Vec<Parameter> {
    let schema = Q::json_schema(generator).to_value();
    let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let parameter = |(name, mut schema): (String, Value)| {
        let description = schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("description");
            schema.remove("default");
        }
        Parameter { name, description, schema: present(schema) }
    };
    properties.into_iter().map(parameter).collect()
}

/// The schema of what is given: a key that is left out is no `null`.
fn present(mut schema: Value) -> Value {
    if let Some(some) = schema.get("anyOf").and_then(Value::as_array).and_then(|any| any.iter().find(|one| one["type"] != "null")) {
        return some.clone();
    }
    if let Some(one) = schema.get("type").and_then(Value::as_array).and_then(|types| types.iter().find(|one| *one != "null")) {
        schema["type"] = one.clone();
    }
    schema
}

impl Parameter {
    fn is_list(&self) -> bool {
        self.schema["type"] == "array"
    }

    fn shape(&self) -> Shape {
        let of = if self.is_list() { &self.schema["items"]["type"] } else { &self.schema["type"] };
        match of.as_str() {
            Some("integer" | "number") => Shape::Number,
            Some("boolean") => Shape::Flag,
            _ => Shape::Text,
        }
    }

    fn value(&self, text: &str) -> Result<Value, Fault> {
        let wrong = |needed: &str| Fault::invalid(self.object(), format!("is {}, but has to be {needed}", quoted(text)));
        match self.shape() {
            Shape::Text => Ok(json!(text)),
            Shape::Number => text.parse::<u64>().map(Value::from).map_err(|_| wrong("a whole number")),
            Shape::Flag => match text {
                "true" | "" => Ok(json!(true)),
                "false" => Ok(json!(false)),
                _ => Err(wrong("true or false")),
            },
        }
    }

    fn object(&self) -> String {
        format!("the query parameter `{}`", self.name)
    }
}

/// The pairs of a query as the type that its parameters are of.
pub(super) fn read<Q: DeserializeOwned>(parameters: &[Parameter], pairs: &[(String, String)]) -> Result<Q, Fault> {
    let mut given = Map::new();
    for (key, text) in pairs {
        let parameter = parameters.iter().find(|parameter| parameter.name == *key).ok_or_else(|| unknown(parameters, key))?;
        let value = parameter.value(text)?;
        // Alone, so that what does not fit is known by its key.
        let alone = if parameter.is_list() { json!({ key: [value] }) } else { json!({ key: value }) };
        serde_json::from_value::<Q>(alone).map_err(|error| unfit(parameter, &error.to_string()))?;
        if parameter.is_list() {
            given.entry(key.clone()).or_insert_with(|| json!([])).as_array_mut().expect("made as a list").push(value);
        } else if given.insert(key.clone(), value).is_some() {
            return Err(Fault::invalid(parameter.object(), "is given twice").remedy("give it once"));
        }
    }
    serde_json::from_value(Value::Object(given)).map_err(|error| Fault::invalid("the query", format!("cannot be read: {error}")))
}

fn unfit(parameter: &Parameter, error: &str) -> Fault {
    let fault = Fault::invalid(parameter.object(), format!("does not fit: {error}"));
    match suggest::in_message(error) {
        Some(nearest) => fault.remedy(format!("did you mean `{nearest}`?")),
        None => fault,
    }
}

fn unknown(parameters: &[Parameter], key: &str) -> Fault {
    let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let fault = Fault::invalid(format!("the query parameter {}", quoted(key)), "is not known here");
    match nearest(key, names.iter().copied()) {
        Some(nearest) => fault.remedy(format!("did you mean `{nearest}`?")),
        None if names.is_empty() => fault.remedy("leave it out: this path takes none"),
        None => fault.remedy(format!("known are {}", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graft_proto::documents::Time;
    use graft_proto::documents::workflow::WorkflowStatus;
    use schemars::generate::SchemaSettings;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
    #[serde(default)]
    struct Asked {
        /// Only these.
        status: Vec<WorkflowStatus>,
        limit: Option<u32>,
        since: Option<Time>,
        dry_run: Option<bool>,
        node: String,
    }

    fn read(query: &[(&str, &str)]) -> Result<Asked, String> {
        let mut generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
        let parameters = parameters::<Asked>(&mut generator);
        assert_eq!(parameters.iter().find(|parameter| parameter.name == "status").expect("there").description, "Only these.");
        let pairs: Vec<_> = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        super::read(&parameters, &pairs).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_query_is_read_by_its_schema() {
        let asked =
            read(&[("status", "running"), ("status", "timed-out"), ("limit", "5"), ("dry_run", ""), ("since", "1970-01-01T00:00:01Z")]);
        let expected = Asked {
            status: vec![WorkflowStatus::Running, WorkflowStatus::TimedOut],
            limit: Some(5),
            since: Some(Time(1_000)),
            dry_run: Some(true),
            node: String::new(),
        };
        assert_eq!(asked, Ok(expected));
        assert_eq!(read(&[]), Ok(Asked::default()));
    }

    #[test]
    fn what_does_not_fit_is_named_and_the_nearest_word_suggested() {
        let told = |query: &[(&str, &str)]| read(query).expect_err("refused");
        assert!(told(&[("stauts", "running")]).ends_with("is not known here; did you mean `status`?"));
        assert!(
            told(&[("quite-another", "1")]).contains("known are dry_run, limit, node, since, status"),
            "{}",
            told(&[("quite-another", "1")])
        );
        assert!(told(&[("status", "runing")]).contains("did you mean `running`?"), "{}", told(&[("status", "runing")]));
        assert!(told(&[("limit", "many")]).starts_with("the query parameter `limit` is \"many\", but has to be a whole number"));
        assert!(told(&[("limit", "5000000000")]).starts_with("the query parameter `limit` does not fit"));
        assert!(told(&[("since", "yesterday")]).contains("is no time like"));
        assert!(told(&[("dry_run", "maybe")]).contains("true or false"));
        assert!(told(&[("limit", "1"), ("limit", "2")]).contains("is given twice"));
    }
}
