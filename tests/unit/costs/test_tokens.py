"""Tests for the estimate of tokens: it contains what real tokenizers count."""

from __future__ import annotations

import pytest

from airflow_provider_online_tasks.costs.ranges import Range, mean_range, share_range
from airflow_provider_online_tasks.costs.tokens import output_tokens, tokens_of

# The fewest and the most tokens by the tokenizers of four model families.
MEASURED = {
    "I would like to return my order because the product arrived damaged. How long does a refund usually take?": (  # noqa: E501
        21,
        21,
    ),
    "def total(items: list[Item]) -> float:\n    return sum(item.price * item.quantity for item in items)\n": (  # noqa: E501
        24,
        29,
    ),
    '[{"role": "user", "content": "hello there", "id": 42}, {"role": "assistant", "content": null}]': (
        30,
        32,
    ),
    "12345 67.89 2026-01-02T03:04:05Z 1000000": (18, 24),
    "## Refunds\n\n| Case | Days |\n| --- | ---: |\n| Damaged | **5** |\n": (23, 28),
    "SGVsbG8gd29ybGQhIFRoaXMgaXMgYSB0ZXN0IG9mIGJhc2U2NCBlbmNvZGluZy4=": (40, 45),
    "3f2504e0-4f89-11d3-9a0c-0305e82c3301 getUserAccountBalance snake_case_name HTTPServer": (35, 37),
    "Die Straßenbahn fährt heute wegen Bauarbeiten nicht bis zum Hauptbahnhof; bitte nutzen Sie den Ersatzverkehr mit Bussen.": (  # noqa: E501
        25,
        41,
    ),
    "J’aimerais retourner ma commande, car le produit est arrivé abîmé. Combien de temps prend le remboursement ?": (  # noqa: E501
        25,
        33,
    ),
    "Я хотел бы вернуть заказ, потому что товар пришёл повреждённым. Как долго это займёт?": (22, 46),
    "我想退货，因为商品损坏了。请问退款需要多长时间？谢谢您的帮助。": (17, 35),
    "注文した商品が壊れていたので返品したいです。返金にはどのくらいかかりますか？": (25, 36),
    "أريد إرجاع الطلب لأن المنتج وصل تالفًا. كم من الوقت سيستغرق استرداد المال؟": (25, 67),
    "मैं अपना ऑर्डर वापस करना चाहता हूँ क्योंकि उत्पाद टूटा हुआ था।": (16, 71),
    "ฉันต้องการคืนสินค้าเพราะสินค้าชำรุด ใช้เวลานานเท่าไหร่": (24, 90),
    "상품이 파손되어 환불을 받고 싶습니다. 얼마나 걸리나요?": (17, 34),
    "Great job 🎉🎉 👍🏽 thanks 😊!": (12, 19),
}


@pytest.mark.parametrize("text", MEASURED)
def test_range_contains_tokens_of_real_tokenizers(text: str) -> None:
    fewest, most = MEASURED[text]
    tokens = tokens_of(text)
    assert tokens.low <= fewest
    assert most <= tokens.high


def test_range_of_english_text_is_narrow() -> None:
    low, high = tokens_of(next(iter(MEASURED)))
    assert high < 1.6 * low


def test_empty_text_has_no_tokens() -> None:
    assert tokens_of("") == (0, 0)


def test_long_text_takes_little_time() -> None:
    assert tokens_of("a1-é" * 500_000).high > 1_000_000


def test_explanations_and_reasoning_increase_output_tokens() -> None:
    def output(**fields: object) -> Range:
        given = {"explains": False, "model": "gpt-4o", "max_tokens": None, **fields}
        return output_tokens(["correct", "incorrect"], **given)  # type: ignore[arg-type]

    short = output()
    assert output(explains=True).high > short.high
    assert output(explains=True).low > short.low
    assert output(model="o3-mini").high > output(explains=True).high
    assert output(model="o3-mini", max_tokens=100).high == 100


@pytest.mark.parametrize(
    "model",
    [
        "gemini-2.5-pro",
        "google/gemini-3-flash",
        "grok-3-mini",
        "xai.grok-4",
        "openai.gpt-oss-120b-1:0",
        "qwen3-32b",
        "us.deepseek.r1-v1:0",
        "deepseek-r1",
    ],
)
def test_reasoning_model_may_have_many_output_tokens(model: str) -> None:
    assert output_tokens(["yes"], explains=False, model=model, max_tokens=None).high > 4_000


@pytest.mark.parametrize("model", ["gemini-2.0-flash", "grok-3", "gpt-4.1", "claude-3-5-sonnet"])
def test_other_model_has_few_output_tokens(model: str) -> None:
    assert output_tokens(["yes"], explains=False, model=model, max_tokens=None).high < 100


def test_mean_of_complete_sample_is_exact() -> None:
    assert mean_range([1, 2, 3], evaluated=3, population=3) == (2, 2)
    low, high = mean_range([1, 2, 3], evaluated=300, population=300)
    assert low < 2 < high


def test_share_of_uniform_sample_allows_few_others() -> None:
    assert share_range(10, 10, evaluated=10, population=10) == (1, 1)
    assert share_range(100, 100, evaluated=1_000, population=1_000) == (0.97, 1)
    assert share_range(0, 100, evaluated=1_000, population=1_000) == (0, 0.03)
