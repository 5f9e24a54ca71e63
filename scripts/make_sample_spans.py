"""Write the emulator's sample: a week of spans of a made-up support assistant with retrieval.

Run ``python scripts/make_sample_spans.py`` to rewrite the shipped file, or give a path to write elsewhere.
The output depends on nothing but this script: same script, same bytes.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from pathlib import Path
from typing import Any, NamedTuple

SHIPPED = (
    Path(__file__).resolve().parents[1]
    / "airflow_provider_online_tasks"
    / "emulator"
    / "spans/sample_spans.jsonl"
)
DAYS = 7
TRACES_PER_DAY = 18
# A second application, with spans of its own.
SECOND_PROJECT = "search-assistant"
SECOND_TRACES = 20
SEED = 20240607

Attributes = dict[str, Any]


class Article(NamedTuple):
    """A page of the made-up help centre, with what people ask about it and how the assistant fared."""

    title: str
    text: str
    questions: tuple[str, ...]
    good: str
    wrong: str


ARTICLES = (
    Article(
        "Returns",
        "Morrowby thermostats can be returned within 45 days of delivery. The refund reaches the original "
        "payment method 5 working days after the parcel arrives in our warehouse. Opened boxes are accepted.",
        ("How long do I have to return a thermostat?", "Can I send back an Ember if I opened the box?"),
        "You can return your thermostat within 45 days of delivery, even if the box was opened. The refund "
        "arrives 5 working days after the parcel reaches the warehouse.",
        "Thermostats can be returned within 90 days of delivery, but opened boxes are not accepted.",
    ),
    Article(
        "Resetting an Ember",
        "To reset an Ember thermostat, hold the dial for 12 seconds until the ring turns amber. Schedules "
        "are kept. To erase schedules as well, keep holding for 30 seconds until the ring turns white.",
        ("How do I reset my Ember thermostat?", "Will a reset delete my heating schedules?"),
        "Hold the dial for 12 seconds until the ring turns amber: that resets the Ember and keeps your "
        "schedules. Holding for 30 seconds, until the ring turns white, erases them as well.",
        "Hold the dial for 3 seconds until the ring turns green. Every reset erases your schedules.",
    ),
    Article(
        "Wi-Fi requirements",
        "Ember connects to 2.4 GHz networks secured with WPA2 or WPA3. It does not connect to 5 GHz "
        "networks. If the router merges both bands under one name, switch the 5 GHz band off during pairing.",
        ("Does the Ember work with 5 GHz wifi?", "Why can't my thermostat see my network?"),
        "Ember only connects to 2.4 GHz networks with WPA2 or WPA3. If your router merges both bands under "
        "one name, switch the 5 GHz band off while you pair the thermostat.",
        "Ember connects to 5 GHz networks secured with WPA2, so no change to the router is needed.",
    ),
    Article(
        "Warranty",
        "Every Morrowby device carries a warranty of 36 months from the date of purchase. It covers faults "
        "in material and workmanship. Water damage is not covered. A proof of purchase is required.",
        ("How long is the warranty?", "Is water damage covered by the warranty?"),
        "The warranty runs for 36 months from the date of purchase and covers faults in material and "
        "workmanship. Water damage is not covered, and you need the proof of purchase.",
        "The warranty runs for 12 months from the date of purchase and water damage is covered.",
    ),
    Article(
        "Shipping",
        "Orders placed before 14:00 leave the warehouse on the same working day. Standard shipping takes 3 "
        "to 4 working days and is free for orders above 60 euros. Express shipping takes 1 working day.",
        ("When will my order arrive?", "What does shipping cost?"),
        "Orders placed before 14:00 leave the same working day. Standard shipping takes 3 to 4 working days "
        "and is free above 60 euros; express shipping takes 1 working day.",
        "Orders leave the warehouse after 9 working days and shipping is free above 20 euros.",
    ),
    Article(
        "Geofencing",
        "With geofencing the heating turns down when every phone of the household is more than 400 metres "
        "away. It turns up again when the first phone comes within 2 kilometres. Geofencing needs the app to "
        "have location access at all times.",
        ("How does geofencing decide that nobody is home?", "Which permission does geofencing need?"),
        "The heating turns down when every phone of the household is more than 400 metres away and turns up "
        "again within 2 kilometres. The app needs location access at all times for geofencing.",
        "Geofencing turns the heating down when one phone is 5 kilometres away. Location access is optional.",
    ),
    Article(
        "Energy report",
        "The energy report is published on day 3 of each month and compares heating hours with the month "
        "before. It can be downloaded as CSV or PDF. Reports are kept for 24 months.",
        ("Where can I download my energy report?", "How long are energy reports kept?"),
        "The energy report is published on day 3 of each month, as CSV or PDF, and reports are kept for 24 "
        "months so you can compare heating hours.",
        "Energy reports are published every 15 days, only as a web page, and are kept for 6 months.",
    ),
    Article(
        "Plans and billing",
        "The Hearth plan costs 4 euros a month and includes geofencing and energy reports. It can be "
        "cancelled at any time; the plan then ends with the running month. The Basic plan is free.",
        ("How much is the Hearth plan?", "Can I cancel my plan in the middle of the month?"),
        "The Hearth plan costs 4 euros a month, with geofencing and energy reports included. You can cancel "
        "at any time and the plan ends with the running month. The Basic plan is free.",
        "The Hearth plan costs 19 euros a month and cannot be cancelled during the first 12 months.",
    ),
    Article(
        "Boiler compatibility",
        "Ember works with boilers that offer an on/off contact or OpenTherm 3.0. Boilers with a proprietary "
        "bus need the Bridge accessory. Electric underfloor heating above 16 amperes is not supported.",
        ("Does the Ember work with my OpenTherm boiler?", "Do I need the Bridge accessory?"),
        "Yes: Ember works with boilers that have an on/off contact or OpenTherm 3.0. You need the Bridge "
        "accessory only for boilers with a proprietary bus.",
        "Boilers with OpenTherm are not supported; Ember works with electric heating up to 64 amperes.",
    ),
    Article(
        "Battery",
        "The radiator valve runs on two AA batteries for about 18 months. The app warns when its charge "
        "is below 15 percent. Rechargeable batteries are not recommended because their voltage is too low.",
        ("How long do the valve batteries last?", "Can I use rechargeable batteries in the valve?"),
        "The two AA batteries of the radiator valve last about 18 months, and the app warns below 15 "
        "percent. Rechargeable batteries are not recommended because their voltage is too low.",
        "The valve holds one battery for about 60 months, and rechargeable batteries are recommended.",
    ),
    Article(
        "Sharing a home",
        "A home can be shared with up to 8 people. Guests may change the temperature but cannot edit "
        "schedules. An invitation expires after 72 hours. Only the owner can remove members.",
        ("How many people can share my home in the app?", "Can a guest change the heating schedule?"),
        "You can share a home with up to 8 people. Guests may change the temperature but cannot edit "
        "schedules; an invitation expires after 72 hours.",
        "A home can be shared with 25 people, and guests can edit schedules.",
    ),
    Article(
        "Firmware updates",
        "Firmware updates install between 2:00 and 4:00 at night when the thermostat is online. An update "
        "takes about 10 minutes, during which the heating keeps the last temperature. Updates cannot be "
        "postponed by more than 14 days.",
        ("When are firmware updates installed?", "Does the heating stop during an update?"),
        "Firmware updates install between 2:00 and 4:00 at night and take about 10 minutes. The heating "
        "keeps the last temperature during the update.",
        "Updates install at 13:00, take about 90 minutes and the heating stops during the update.",
    ),
)

REFUSALS = (
    "I'm sorry, I can't help with that.",
    "Unfortunately I do not have enough information to answer this question.",
    "I am unable to assist with this request. Please contact a human colleague.",
)

OFF_TOPIC = (
    "Sourdough needs patience: feed the starter in the morning, fold the dough every half hour, bake hot.",
    "The lighthouse keeper counted gulls until the fog swallowed the pier, and then he counted waves.",
    "Try restarting your printer and choosing another paper tray; glossy sheets curl in damp rooms.",
)

# question, answer: other scripts, mixed directions and symbols, on articles by their index
OTHER_SCRIPTS = (
    (
        0,
        "サーモスタットは何日以内に返品できますか?",
        "お届けから45日以内であれば返品できます。箱を開けていても大丈夫です。",
    ),
    (3, "ما هي مدة الضمان؟", "مدة الضمان 36 شهرًا من تاريخ الشراء، ولا يشمل أضرار المياه."),
    (1, "🔥🥶 reset??? 🙏", "Hold the dial 12 seconds 🟠 and the Ember resets ✅ schedules stay 📅👍"),
    (
        4,
        "Когда придёт мой заказ?",
        "Стандартная доставка занимает от 3 до 4 рабочих дней, экспресс — 1 рабочий день.",
    ),
    (7, "हर्थ प्लान की कीमत क्या है?", "हर्थ प्लान की कीमत 4 यूरो प्रति माह है।"),
    (
        9,
        "バルブの電池はどのくらい持ちますか?",
        "単三電池2本で約18か月です。残量が15%を下回るとアプリが知らせます。🔋",
    ),
    (10, "כמה אנשים יכולים לשתף בית באפליקציה?", "אפשר לשתף בית עם עד 8 אנשים. ההזמנה פגה אחרי 72 שעות."),
)

MODELS = ("gpt-4o-mini", "gpt-4o-mini", "gpt-4o", "claude-3-5-haiku")
CHANNELS = ("web", "app", "email")
# how an answer turns out; the list is walked with a stride, so that every day holds a mix
OUTCOMES = (
    *("good",) * 17,
    *("wrong",) * 4,
    *("off_topic",) * 2,
    *("refusal",) * 2,
    *("script",) * 3,
    "empty",
    "error",
    "long",
    "broken_json",
)
STRIDE = 7


def main() -> None:
    """Write the sample to the shipped path or to the one given."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else SHIPPED
    path.write_text(render(), encoding="utf-8")


def render(days: int = DAYS) -> str:
    """Return the whole sample as JSON lines, oldest span first; with more days it has older spans too."""
    spans: list[dict[str, Any]] = []
    for index in range(days * TRACES_PER_DAY):
        spans.extend(Trace(index).spans())
    for index in range(SECOND_TRACES):
        spans.extend({**span, "project": SECOND_PROJECT} for span in Trace(index, "search ").spans())
    spans.sort(key=lambda span: (span["start_time"], span["span_id"]))
    return "".join(json.dumps(span, ensure_ascii=False, separators=(",", ":")) + "\n" for span in spans)


class Trace:
    """One question to the assistant: an agent, its chain with retrieval and model, and its tools."""

    def __init__(self, index: int, prefix: str = "") -> None:
        self._index = index
        self._prefix = prefix
        self._random = random.Random(SEED + index + 1_000_000 * bool(prefix))
        self._trace_id = _hex(f"{prefix}trace {index}", 32)
        self._spans: list[dict[str, Any]] = []
        spacing = 86_400 / TRACES_PER_DAY
        # the newest question is minutes old, so that a look at the last hour finds something
        self._start = -spacing * index - 120 - (self._below(int(spacing * 0.8)) if index else 0)
        self._outcome = _outcome(index)
        self._compose()

    def spans(self) -> list[dict[str, Any]]:
        """Return the spans of the trace, the root first."""
        return self._spans

    def _below(self, limit: int) -> int:
        # random() alone is promised to stay the same across Python versions
        return int(self._random.random() * limit)

    def _pick(self, options: tuple[Any, ...]) -> Any:
        return options[self._below(len(options))]

    def _compose(self) -> None:
        article_index = self._below(len(ARTICLES))
        question = self._pick(ARTICLES[article_index].questions)
        answer = ""
        if self._outcome == "script":
            article_index, question, answer = OTHER_SCRIPTS[self._scripts_before() % len(OTHER_SCRIPTS)]
        article = ARTICLES[article_index]
        answer = answer or self._answer(article)
        documents = [article, ARTICLES[(article_index + 5) % len(ARTICLES)]]
        if self._outcome == "off_topic":
            documents = [ARTICLES[(article_index + 3) % len(ARTICLES)], documents[1]]
        failed = self._outcome == "error"
        search = 0.08 + self._below(200) / 1000
        writing = 30.0 if failed else 0.6 + len(answer) / 400 + self._below(1500) / 1000
        tool = self._tool()
        tool_time = 0.0 if tool is None else 0.1 + self._below(400) / 1000
        begin = self._start
        total = tool_time + search + writing + 0.05
        context = "\n".join(document.text for document in documents)

        root = self._add("support_agent", "AGENT", None, begin, total, failed=failed)
        root.update(
            {"input.value": question, "output.value": answer, "support.context": context, **self._metadata()}
        )
        at = begin + 0.01
        if tool is not None:
            name, arguments, result = tool
            tool_failed = result is None
            attributes = self._add(name, "TOOL", "support_agent", at, tool_time, failed=tool_failed)
            attributes.update(
                {
                    "tool.name": name,
                    "input.value": arguments,
                    "input.mime_type": "application/json",
                    "output.value": result or "",
                }
            )
            at += tool_time
        chain = self._add(
            "answer_question", "CHAIN", "support_agent", at, search + writing + 0.02, failed=failed
        )
        chain.update({"input.value": question, "output.value": answer})
        self._retriever(question, documents, at + 0.005, search)
        self._model(question, answer, context, at + search + 0.01, writing)

    def _scripts_before(self) -> int:
        return sum(_outcome(index) == "script" for index in range(self._index))

    def _answer(self, article: Article) -> str:
        match self._outcome:
            case "wrong":
                return article.wrong
            case "off_topic":
                return str(self._pick(OFF_TOPIC))
            case "refusal":
                return str(self._pick(REFUSALS))
            case "empty" | "error":
                return ""
            case "long":
                return " ".join(f"Step {step}. {article.good}" for step in range(1, 26))
        return article.good

    def _tool(self) -> tuple[str, str, str | None] | None:
        choice = self._below(10)
        if choice < 4:
            order = 1000 + self._below(9000)
            arguments = f'{{"order": "MB-{order}"}}'
            if self._outcome == "broken_json":
                arguments = arguments[:-3]
            if choice == 0:
                return "lookup_order", arguments, None
            return "lookup_order", arguments, f'{{"order": "MB-{order}", "state": "shipped"}}'
        if choice < 6:
            device = 100 + self._below(900)
            return (
                "device_status",
                f'{{"device": "ember-{device}"}}',
                f'{{"online": true, "celsius": {18 + choice}.5}}',
            )
        return None

    def _metadata(self) -> Attributes:
        metadata = json.dumps(
            {"channel": self._pick(CHANNELS), "plan": "hearth" if self._below(3) else "basic"}
        )
        if self._outcome == "broken_json":
            metadata = metadata[:-9]
        return {"metadata": metadata}

    def _retriever(self, question: str, documents: list[Article], start: float, seconds: float) -> None:
        attributes = self._add(
            "search_help_center", "RETRIEVER", "answer_question", start, seconds, failed=False
        )
        attributes["input.value"] = question
        attributes["output.value"] = "\n\n".join(document.text for document in documents)
        for position, document in enumerate(documents):
            prefix = f"retrieval.documents.{position}.document"
            attributes[f"{prefix}.id"] = document.title.lower().replace(" ", "-")
            attributes[f"{prefix}.content"] = document.text
            attributes[f"{prefix}.score"] = round(0.93 - 0.21 * position - self._below(90) / 1000, 3)

    def _model(self, question: str, answer: str, context: str, start: float, seconds: float) -> None:
        failed = self._outcome == "error"
        attributes = self._add("compose_answer", "LLM", "answer_question", start, seconds, failed=failed)
        prompt_tokens = 40 + (len(context) + len(question)) // 4
        completion_tokens = (len(answer) + 3) // 4
        attributes.update(
            {
                "input.value": question,
                "output.value": answer,
                "llm.model_name": self._pick(MODELS),
                "llm.invocation_parameters": '{"temperature": 0.2}',
                "llm.token_count.prompt": prompt_tokens,
                "llm.token_count.completion": completion_tokens,
                "llm.token_count.total": prompt_tokens + completion_tokens,
                "llm.input_messages.0.message.role": "system",
                "llm.input_messages.0.message.content": f"Answer from these help pages only.\n{context}",
                "llm.input_messages.1.message.role": "user",
                "llm.input_messages.1.message.content": question,
                "llm.output_messages.0.message.role": "assistant",
                "llm.output_messages.0.message.content": answer,
            }
        )
        if failed:
            error = {"type": "TimeoutError", "message": "the model gave no answer within 30 seconds"}
            for kind in ("exception", "error"):
                attributes.update({f"{kind}.{name}": value for name, value in error.items()})
            recorded = {f"exception.{name}": value for name, value in error.items()}
            self._spans[-1]["events"] = [{"name": "exception", "attributes": recorded}]

    def _add(
        self, name: str, kind: str, parent: str | None, start: float, seconds: float, *, failed: bool
    ) -> Attributes:
        attributes: Attributes = {
            "openinference.span.kind": kind,
            "session.id": f"{self._prefix.strip()}session-{self._index // 3:03d}",
            "user.id": f"user-{self._index * 7 % 41:03d}",
        }
        self._spans.append(
            {
                "span_id": _hex(f"{self._trace_id} {name}", 16),
                "trace_id": self._trace_id,
                "parent_id": None if parent is None else _hex(f"{self._trace_id} {parent}", 16),
                "name": name,
                "kind": kind,
                "status_code": "ERROR" if failed else "OK",
                "status_message": f"{name} did not answer in time" if failed else "",
                "start_time": round(start, 3),
                "end_time": round(start + seconds, 3),
                "attributes": attributes,
            }
        )
        return attributes


def _outcome(index: int) -> str:
    return OUTCOMES[index * STRIDE % len(OUTCOMES)]


def _hex(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


if __name__ == "__main__":
    main()
