"""Is a `$metadata` document correct? By the schema of the standard, and by the rules that no schema can say.

`mistakes` lists what is wrong, in words. The rules are those of OData CSDL XML 4.0 that a client building itself from the
document relies on: every name resolves, keys exist, navigation is symmetric, bindings lead where they should.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from lxml import etree

EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
EDMX = "{http://docs.oasis-open.org/odata/ns/edmx}"
_SCHEMAS = Path(__file__).parent / "csdl"
_PRIMITIVES = {
    f"Edm.{name}"
    for name in (
        "Binary", "Boolean", "Byte", "Date", "DateTimeOffset", "Decimal", "Double", "Duration", "Guid", "Int16", "Int32", "Int64",
        "SByte", "Single", "Stream", "String", "TimeOfDay",
    )
}  # fmt: skip
_KEYS = {"Edm.Boolean", "Edm.Byte", "Edm.Date", "Edm.DateTimeOffset", "Edm.Decimal", "Edm.Duration", "Edm.Guid"} | {
    f"Edm.{name}" for name in ("Int16", "Int32", "Int64", "SByte", "String", "TimeOfDay")
}
_IDENTIFIER = re.compile(r"[^\W\d]\w{0,127}")


@cache
def _xml_schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(_SCHEMAS / "edmx.xsd")))


def mistakes(document: bytes) -> list[str]:
    """Everything that is wrong with a document; an empty list when nothing is."""
    root = etree.fromstring(document)
    schema = _xml_schema()
    if not schema.validate(root):
        return [f"line {found.line}: {found.message}" for found in schema.error_log]
    return list(Model(root).mistakes())


class Model:
    """A document taken apart: `types` by qualified name, `sets` by name."""

    def __init__(self, root: etree._Element) -> None:
        self.root = root
        self.schemas = list(root.iter(f"{EDM}Schema"))
        self.aliases = {found.get("Alias"): found.get("Namespace") for found in self.schemas if found.get("Alias")}
        self.types = {
            f"{schema.get('Namespace')}.{found.get('Name')}": found
            for schema in self.schemas
            for kind in ("EntityType", "ComplexType", "EnumType", "TypeDefinition")
            for found in schema.findall(f"{EDM}{kind}")
        }
        self.operations = {
            f"{schema.get('Namespace')}.{found.get('Name')}": found
            for schema in self.schemas
            for kind in ("Action", "Function")
            for found in schema.findall(f"{EDM}{kind}")
        }
        self.sets = {found.get("Name"): found for found in root.iter(f"{EDM}EntitySet")}

    def full(self, name: str) -> str:
        prefix, _, simple = name.rpartition(".")
        return f"{self.aliases.get(prefix, prefix)}.{simple}"

    def inner(self, kind: str) -> tuple[str, bool]:
        """The qualified name of a type, and whether it is a collection of it."""
        found = re.fullmatch(r"Collection\((.+)\)", kind)
        return (self.full(found[1]), True) if found else (self.full(kind), False)

    def lineage(self, name: str) -> list[etree._Element]:
        """A structured type and its bases."""
        found, seen = [], set()
        while name in self.types and name not in seen:
            seen.add(name)
            found.append(self.types[name])
            base = self.types[name].get("BaseType")
            name = self.full(base) if base else ""
        return found

    def members(self, name: str, kind: str) -> dict[str, etree._Element]:
        return {found.get("Name"): found for element in self.lineage(name) for found in element.findall(f"{EDM}{kind}")}

    def is_a(self, name: str, base: str) -> bool:
        return self.types.get(base) in self.lineage(name)

    def key(self, name: str) -> list[str]:
        return [
            found.get("Name")
            for element in self.lineage(name)
            for found in element.findall(f"{EDM}Key/{EDM}PropertyRef")
        ]

    # ------------------------------------------------------------------------------------------------- the rules
    def mistakes(self) -> Iterator[str]:
        yield from self._names()
        for name, element in self.types.items():
            if element.tag in (f"{EDM}EntityType", f"{EDM}ComplexType"):
                yield from self._structured(name, element)
            if element.tag == f"{EDM}EnumType":
                yield from self._enum(name, element)
        for name, element in self.operations.items():
            yield from self._operation(name, element)
        yield from self._container()
        yield from self._annotations()

    def _names(self) -> Iterator[str]:
        for schema in self.schemas:
            if schema.get("Alias") in ("Edm", "odata", "System", "Transient"):
                yield f"alias {schema.get('Alias')} is reserved"
            children = [
                (child.tag, child.get("Name"))
                for child in schema
                if child.get("Name") and child.get("IsBound") != "true"
            ]
            for name, count in Counter(name for _, name in children).items():
                if count > 1:
                    yield f"{name} is declared {count} times"
        for element in self.root.iter(*(f"{EDM}{kind}" for kind in ("Property", "NavigationProperty", "Parameter"))):
            if not _IDENTIFIER.fullmatch(element.get("Name")):
                yield f"'{element.get('Name')}' is no simple identifier"

    def _structured(self, name: str, element: etree._Element) -> Iterator[str]:
        base = element.get("BaseType")
        if base is not None and self.types.get(self.full(base), element).tag != element.tag:
            yield f"{name}: base type {base} is of another kind"
        if base is not None and self.full(base) not in self.types:
            yield f"{name}: base type {base} does not exist"
        names = Counter(
            child.get("Name")
            for level in self.lineage(name)
            for child in level
            if child.tag in (f"{EDM}Property", f"{EDM}NavigationProperty")
        )
        yield from (
            f"{name}: the name {found} stands for {count} things" for found, count in names.items() if count > 1
        )
        for found in element.findall(f"{EDM}Property"):
            yield from self._property(name, found)
        for found in element.findall(f"{EDM}NavigationProperty"):
            yield from self._navigation(name, found)
        if element.tag == f"{EDM}EntityType":
            yield from self._keys(name, element)

    def _keys(self, name: str, element: etree._Element) -> Iterator[str]:
        keys = self.key(name)
        if not keys and element.get("Abstract") != "true":
            yield f"{name} is not abstract and has no key"
        if (
            len(self.lineage(name)) > 1
            and element.find(f"{EDM}Key") is not None
            and self.key(self.full(element.get("BaseType")))
        ):
            yield f"{name} has a key, and so has its base"
        properties = self.members(name, "Property")
        for key in keys:
            if key not in properties:
                yield f"{name}: key {key} is no property"
            elif properties[key].get("Nullable") != "false" or properties[key].get("Type") not in _KEYS:
                yield f"{name}: key {key} must be a primitive that is not nullable"

    def _property(self, owner: str, found: etree._Element) -> Iterator[str]:
        yield from self._typed(owner, found, entities=False)
        kind = found.get("Type")
        if found.get("Unicode") and kind != "Edm.String":
            yield f"{owner}/{found.get('Name')}: Unicode is a facet of texts"
        if found.get("MaxLength", "1") != "max" and int(found.get("MaxLength", "1")) < 1:
            yield f"{owner}/{found.get('Name')}: MaxLength must be positive"
        if found.get("Scale") and kind != "Edm.Decimal":
            yield f"{owner}/{found.get('Name')}: Scale is a facet of decimals"
        precision, scale = found.get("Precision"), found.get("Scale")
        if precision and scale and scale.isdigit() and int(scale) > int(precision):
            yield f"{owner}/{found.get('Name')}: Scale is greater than Precision"

    def _typed(self, owner: str, found: etree._Element, *, entities: bool) -> Iterator[str]:
        where = f"{owner}/{found.get('Name')}"
        name, _ = self.inner(found.get("Type"))
        element = self.types.get(name)
        if element is None and name not in _PRIMITIVES:
            yield f"{where}: type {found.get('Type')} does not exist"
        elif element is not None and element.tag == f"{EDM}EntityType" and not entities:
            yield f"{where}: a property cannot be of entity type {name}"

    def _navigation(self, owner: str, found: etree._Element) -> Iterator[str]:
        where = f"{owner}/{found.get('Name')}"
        target, many = self.inner(found.get("Type"))
        element = self.types.get(target)
        if element is None or element.tag != f"{EDM}EntityType":
            yield f"{where}: {found.get('Type')} is no entity type"
            return
        if many and found.get("Nullable") is not None:
            yield f"{where}: a collection cannot say Nullable"
        partner = found.get("Partner")
        if partner is not None:
            back = self.members(target, "NavigationProperty").get(partner)
            if back is None:
                yield f"{where}: partner {partner} does not exist on {target}"
            else:
                if not self.is_a(owner, self.inner(back.get("Type"))[0]):
                    yield f"{where}: partner {partner} leads to {back.get('Type')}"
                if back.get("Partner") != found.get("Name"):
                    yield f"{where}: partner {partner} has another partner, {back.get('Partner')}"
        mine, theirs = self.members(owner, "Property"), self.members(target, "Property")
        for constraint in found.findall(f"{EDM}ReferentialConstraint"):
            dependent, principal = (
                mine.get(constraint.get("Property")),
                theirs.get(constraint.get("ReferencedProperty")),
            )
            if dependent is None or principal is None:
                yield f"{where}: its referential constraint names a property that does not exist"
            elif dependent.get("Type") != principal.get("Type"):
                yield f"{where}: its referential constraint compares {dependent.get('Type')} with {principal.get('Type')}"

    def _enum(self, name: str, element: etree._Element) -> Iterator[str]:
        members = element.findall(f"{EDM}Member")
        for what in ("Name", "Value"):
            if len({found.get(what) for found in members}) != len(members):
                yield f"{name}: two members share a {what}"
        if element.get("IsFlags") == "true" and any(found.get("Value") is None for found in members):
            yield f"{name}: flags need values"

    def _operation(self, name: str, element: etree._Element) -> Iterator[str]:
        parameters = element.findall(f"{EDM}Parameter")
        if len({found.get("Name") for found in parameters}) != len(parameters):
            yield f"{name}: two parameters share a name"
        for parameter in parameters:
            yield from self._typed(name, parameter, entities=True)
        answer = element.find(f"{EDM}ReturnType")
        if answer is None and element.tag == f"{EDM}Function":
            yield f"{name}: a function must return something"
        if answer is not None and self.inner(answer.get("Type"))[0] not in {*self.types, *_PRIMITIVES}:
            yield f"{name}: return type {answer.get('Type')} does not exist"
        if element.get("IsBound") == "true":
            first = self.inner(parameters[0].get("Type"))[0] if parameters else ""
            if self.types.get(first) is None or self.types[first].tag != f"{EDM}EntityType":
                yield f"{name}: bound to {first}, which is no entity type"

    def _container(self) -> Iterator[str]:
        containers = list(self.root.iter(f"{EDM}EntityContainer"))
        if len(containers) != 1:
            yield f"there are {len(containers)} entity containers"
        names = Counter(child.get("Name") for container in containers for child in container if child.get("Name"))
        yield from (f"the container has {count} things called {name}" for name, count in names.items() if count > 1)
        for name, entity_set in self.sets.items():
            kind = self.full(entity_set.get("EntityType"))
            if kind not in self.types or self.types[kind].tag != f"{EDM}EntityType":
                yield f"set {name}: {kind} is no entity type"
            elif not self.key(kind):
                yield f"set {name}: {kind} has no key"
            yield from self._bindings(name, kind, entity_set)
        for container in containers:
            for element, kind in ((f"{EDM}ActionImport", "Action"), (f"{EDM}FunctionImport", "Function")):
                for found in container.findall(element):
                    operation = self.operations.get(self.full(found.get(kind)))
                    if operation is None or operation.tag != f"{EDM}{kind}":
                        yield f"import {found.get('Name')}: there is no {kind} {found.get(kind)}"
                    elif operation.get("IsBound") == "true":
                        yield f"import {found.get('Name')}: a bound operation cannot be imported"

    def _bindings(self, name: str, kind: str, entity_set: etree._Element) -> Iterator[str]:
        navigations = self.members(kind, "NavigationProperty")
        bound = {
            found.get("Path"): found.get("Target") for found in entity_set.findall(f"{EDM}NavigationPropertyBinding")
        }
        if len(bound) != len(entity_set.findall(f"{EDM}NavigationPropertyBinding")):
            yield f"set {name}: two bindings share a path"
        for path, target in bound.items():
            navigation, other = navigations.get(path), self.sets.get(target)
            if navigation is None or other is None:
                yield f"set {name}: binding {path} to {target} names something that does not exist"
                continue
            if not self.is_a(self.full(other.get("EntityType")), self.inner(navigation.get("Type"))[0]):
                yield f"set {name}: binding {path} leads to {target}, which holds {other.get('EntityType')}"
            if navigation.get("ContainsTarget") == "true":
                yield f"set {name}: {path} contains its target and needs no binding"
        for path, navigation in navigations.items():
            if path not in bound and navigation.get("ContainsTarget") != "true":
                yield f"set {name}: {path} is bound to no set"

    def _annotations(self) -> Iterator[str]:
        included = {found.get("Namespace") for found in self.root.iter(f"{EDMX}Include")}
        for annotation in self.root.iter(f"{EDM}Annotation"):
            namespace = annotation.get("Term").rpartition(".")[0]
            if namespace not in included:
                yield f"term {annotation.get('Term')} is of no vocabulary that the document includes"
        for element in self.root.iter():
            terms = [found.get("Term") for found in element.findall(f"{EDM}Annotation")]
            if len(set(terms)) != len(terms):
                yield f"{element.get('Name')} has a term twice"
        for owner in self.types.values():
            for value in owner.findall(f"{EDM}Annotation//{EDM}PropertyValue[@PropertyPath]"):
                if owner.find(f"{EDM}Property[@Name='{value.get('PropertyPath')}']") is None:
                    yield f"{owner.get('Name')}: an annotation names {value.get('PropertyPath')}, which it has not"
