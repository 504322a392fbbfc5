"""What a prompt is about, told by its words and shapes. No Django.

None of these rules understands a text; each costs some tens of microseconds and can be read. Of a
prompt they see the first HEAD and the last TAIL characters, where people say what they want. The
words are English, German, French, Spanish, Portuguese, Italian, Russian, Chinese, Japanese and
Korean; prompts in other languages are code or mathematics where their symbols say so.

code          a fenced block in the prompt; a fenced block in an answer that names a programming
              language; lines that only code has (`def f(`, `#include <`, `</div>`); names of
              languages and tools; a verb of making close before "function", "script", "query".
              Set phrases ("code of conduct", "dress code", "pet python") are taken out first.
math          TeX; sums and equations; terms of mathematics; a word problem, which is "how many"
              or its like and two numbers. In a prompt that is code, shapes and terms alone do not
              count: it takes a demand to derive, prove or integrate.
creative      a verb of making close before a kind of text that is made up ("write … a poem");
              role play.
instructions  a demand on the form of the answer: its length, format, first or last words, words
              to use or to avoid, nothing but the answer itself.
refusal       an answer whose first OPENING characters decline ("I'm sorry, but I can't").

Measured on `tests/leaderboard/labelled_prompts.jsonl`, 223 prompts in 17 languages. The words
were chosen while looking at the errors in two thirds of them (seen, 138); the errors in the rest
(held out, 85) were counted, never looked at. Prompts, labels and rules are by one author, so all
figures flatter: expect less of prompts that somebody else wrote.

              seen                             held out
              positive  precision  recall      positive  precision  recall
code                20       1.00    1.00            20       0.95    1.00
math                23       1.00    1.00            14       1.00    0.93
creative            25       1.00    1.00            11       1.00    1.00
instructions        26       1.00    1.00            13       1.00    1.00

Of 19 prompts by other authors (the public llmfao set), tried once, the first version of the rules
missed three ("SVG code", "bullet-point arguments", "in a short paragraph": words since added), and
took one for code that was not: a fenced block that showed JSON.

The language (`leaderboard.features`) is right in 98 % of both parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from leaderboard.fences import fenced_languages

HEAD, TAIL = 4_000, 2_000
OPENING = 300


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt as the rules read it."""

    raw: str  # head and tail
    text: str  # the same in lower case, without the set phrases that mislead
    fenced: bool  # with a block of code

    @classmethod
    def of(cls, prompt: str) -> Prompt:
        raw = prompt if len(prompt) <= HEAD + TAIL else f"{prompt[:HEAD]}\n{prompt[-TAIL:]}"
        text = _MISLEADING.sub(" ", raw.lower().replace("’", "'"))
        return cls(raw, text, bool(fenced_languages(raw)))


# Every repetition below is bounded, so that no text makes a search more than linear.


def _words(*words: str) -> re.Pattern[str]:
    """Any of these, as whole words; a trailing * stands for any ending."""
    parts = "|".join(re.escape(word).replace(r"\*", r"\w{0,20}") for word in words)
    return re.compile(rf"(?<!\w)(?:{parts})(?!\w)")


def _near(before: str, after: str, words: int) -> re.Pattern[str]:
    """One of `before`, at most so many words of the same sentence, one of `after`."""
    gap = r"[^\w.!?\n]{1,3}"
    return re.compile(
        rf"(?<!\w)(?:{before})(?:{gap}[\w'-]{{1,24}}){{0,{words}}}?{gap}(?:{after})(?!\w)"
    )


_MISLEADING = re.compile(
    r"\b(?:"
    r"(?:dress|zip|postal|post|area|country|penal|criminal|civil|building|tax|promo|discount|morse"
    r"|color|bar) codes?"
    r"|codes? of (?:conduct|ethics|honou?r|practice)"
    r"|(?:movie|film|tv|theatre|theater) scripts?(?= for)"
    r"|(?:training|workout|fitness|exercise|study|tv|loyalty) programs?"
    r"|prime ministers?"
    r"|math(?:s|ematics)? (?:class|teacher|degree|homework)"
    r"|(?:pet|ball|burmese|monty) pythons?|pythons? as (?:a )?pets?"
    r")\b"
)

# --- code ---------------------------------------------------------------------------------------

_CODE_SHAPES = re.compile(
    r"\bdef \w{1,60}\(|\bfunction ?\w{0,60}\(\w{0,60}\) ?\{|#include ?[<\"]"
    r"|\bpublic (?:static|class|void)\b|\bconsole\.log\(|\bprint(?:f|ln)?\(|\bint main\b|\bstd::"
    r"|</(?:div|form|html|body|p|a|script|span|button)>|=> ?\{"
    r"|\b(?:const|let|var) \w{1,60} ?= ?\S|\bimport \w{1,60}(?:\.\w{1,60})? as \w"
    r"|\bSELECT [^\n]{1,200} FROM \w|\breturn \w{1,60};|\b[A-Z]\w{1,40}(?:Error|Exception)\b"
)
_CODE_NAMES = _words(
    *("javascript", "typescript", "golang", "kotlin", "haskell", "matlab", "fortran", "cobol"),
    *("c++", "c#", "php", "sql", "mysql", "postgresql", "sqlite", "html", "css", "vba", "verilog"),
    *("regex", "regexp", "regular expression*", "bash", "powershell", "json schema", "pseudocode"),
    *("django", "flask", "fastapi", "node.js", "nodejs", "vue.js", "angular", "next.js", "npm"),
    *("numpy", "pytorch", "tensorflow", "dataframe*", "kubernetes", "docker", "dockerfile"),
    *("git", "github", "rest api", "api endpoint*", "unit test*", "stack trace", "traceback"),
    *("segfault", "segmentation fault", "compiler", "leetcode", "mutex", "semaphore", "lru cache"),
    *("time complexity", "quicksort", "mergesort", "bubble sort", "binary search", "linked list"),
    *("hash map", "hashmap", "borrow checker", "programming", "source code", "for loop"),
    *("while loop", "stdin", "stdout", "localhost", "command line", "webpage", "web app", "svg"),
)
# These are also an animal, an island, a game: they mean the language beside a word of computing.
_AMBIGUOUS = _words("python", "java", "rust", "go", "ruby", "swift", "pandas", "react", "excel")
_COMPUTING = _words(
    *("function*", "script*", "program*", "code", "class", "method", "keyword", "library", "list"),
    *("string*", "array*", "loop*", "compile*", "import", "module", "package", "thread*", "cache"),
    *("variable*", "exception", "error*", "interface", "pointer", "component*", "app", "api"),
    *("file", "csv*", "columns", "dictionary", "decorator", "object*", "algorithm*", "parse*"),
    *("macro", "formula", "datei", "funktion", "skript", "fichier", "fonction", "archivo"),
    *("función", "arquivo", "função", "funzione", "thread-safe", "программ*", "функци*"),
)
_CODE_NEAR = _near(
    r"write|rewrite|create|implement|develop|build|code|debug|fix|refactor|optimi[sz]e|generate"
    r"|test|schreibe?|programmiere|erstelle|écris|crée|codez?|escribe|crea|escreva|crie|scrivi"
    r"|напиши(?:те)?|создай(?:те)?",
    r"functions?|methods?|(?:shell )?scripts?|programs?|code|class(?:es)?|quer(?:y|ies)|unit tests?"
    r"|api|endpoint|algorithms?|parser|compiler|website|macro|makefile|data structure"
    r"|funktion|programm|skript|fonction|programme|función|programa|função|funzione|programma"
    r"|функцию|программу|скрипт|код",
    4,
)
_CODE_PARTS = (
    *("编程", "代码", "算法", "函数，判断", "写一个函数", "脚本", "プログラム", "プログラミング"),
    *(
        "コードを",
        "非同期",
        "アルゴリズム",
        "파이썬",
        "코드",
        "프로그래밍",
        "알고리즘",
        "자바스크립트",
    ),
)
# No space, so no whole word, divides a name from Chinese or Japanese.
_NAME_IN_CJK = re.compile(
    r"[぀-鿿](?:python|java|sql|c\+\+)|(?:python|java|javascript|sql|c\+\+)[぀-鿿가-힯]"
)
_LANGUAGES = frozenset(
    (
        *("python", "py", "javascript", "js", "jsx", "typescript", "ts", "tsx", "java", "kotlin"),
        *("c", "cpp", "c++", "csharp", "cs", "c#", "go", "golang", "rust", "rs", "ruby", "rb"),
        *("php", "swift", "scala", "r", "sql", "bash", "sh", "shell", "zsh", "powershell", "perl"),
        *("lua", "haskell", "matlab", "html", "css", "scss", "vue", "dart", "elixir", "clojure"),
        *("fortran", "julia", "vba", "asm", "dockerfile", "makefile"),
    )
)


def is_code(prompt: Prompt) -> bool:
    text = prompt.text
    return bool(
        prompt.fenced
        or _CODE_SHAPES.search(prompt.raw)
        or _CODE_NAMES.search(text)
        or (_AMBIGUOUS.search(text) and _COMPUTING.search(text))
        or _CODE_NEAR.search(text)
        or _NAME_IN_CJK.search(text)
        or any(part in text for part in _CODE_PARTS)
    )


def shows_code(answer: str) -> bool:
    """Whether an answer has a block that names a programming language."""
    return "```" in answer and not _LANGUAGES.isdisjoint(fenced_languages(answer))


# --- mathematics --------------------------------------------------------------------------------

_TEX = re.compile(
    r"\\(?:frac|int|sum|sqrt|lim|infty|prod|cdot|times|leq|geq|mathbb|begin\{(?:p|b)?matrix)"
    r"|\$[^$\n]{0,200}[=^\\_][^$\n]{0,200}\$"
)
_SUMS = re.compile(
    # Signs between numbers, but neither a date, nor a range, nor 24/7.
    r"(?<![\w/.-])\d{1,15}(?:[.,]\d{1,9})? ?[*×÷+^] ?\(?\d|(?<![\w/.-])\d{1,15} / \d"
    r"|(?<![\w/.-])\d{1,15} - \d{1,15} ?=|\d ?%\s(?:of|von|de|di|от)\s(?:\w{1,6}\s)?\d"
    r"|\d\*\*\d|√\d|[∫∑∏√∂≤≥]"
    # Equations in x and powers of a letter.
    r"|(?<!\w)\d{0,6}[a-z](?:\^\d)? ?[-+*/] ?\d{1,9}[a-z]?(?:\^\d)?(?: ?[-+*/] ?\d{1,9})? ?="
    r"|(?<!\w)\d{0,6}[xyzn]\^\d|(?<!\w)[fgh]\([xyt]\) ?="
)
_TERMS = _words(
    *("integral*", "derivative*", "differentiate", "antiderivative", "eigenvalue*", "determinant"),
    *("square root", "cube root", "factorial*", "polynomial*", "quadratic", "logarithm*"),
    *(
        "trigonometr*",
        "cosine",
        "pythagorean",
        "theorem",
        "bayes'",
        "prime number*",
        "prime factor*",
    ),
    *(
        "probability of",
        "standard deviation",
        "permutations",
        "combinatorics",
        "consecutive integers",
    ),
    *("least common multiple", "greatest common divisor", "solve for", "solve the equation"),
    *("differential equation*", "linear algebra", "calculus", "hypotenuse", "irrational"),
    *("area of a", "perimeter of", "circumference", "volume of a", "prove that", "group of order"),
    *("average of", "arithmetic", "geometric series", "show the calculation"),
    *("how many ways", "ableitung", "gleichung", "wahrscheinlichkeit", "wurzel", "berechne*"),
    *("équation*", "dérivée", "intégrale", "probabilité d'*", "probabilité de", "racine carrée"),
    *("ecuación*", "derivada", "integral", "probabilidad de", "raíz cuadrada", "equação"),
    *("raiz quadrada", "equazione", "derivata", "integrale", "radice quadrata", "area di un"),
    *("área de un", "área de um", "aire d'un", "уравнени*", "производн*", "интеграл*"),
    *("вероятность", "вычисли*", "корень из", "теорем*", "докажи*"),
)
_QUANTITY = re.compile(
    r"\bhow (?:many|much|far|long|old|fast)\b|\bwhat (?:is|was|are) the (?:total|original|sum)\b"
    r"|\bwhen (?:does|do|will)\b|\bcalculate\b|\bcompute\b|\bwie ?viele?\b|\bcombien\b"
    r"|\bcu[aá]nt[oa]s?\b|\bquant[oaie]s?\b|\bсколько\b|多少|几个|いくつ|何個|몇"
)
_NUMBER = re.compile(r"(?<![\w:/-])[$€£]?\d{1,12}(?:[.,]\d{1,6})?(?![\w:/-]*\d)")
_TIMES = re.compile(r"\d\s(?:times|plus|minus|divided by|mal|fois|por|vezes|per)\s\d")
_MATH_PARTS = (
    *("方程", "导数", "積分", "积分", "微分", "概率", "確率", "平方根", "证明", "行列式"),
    *("방정식", "미분", "적분", "확률", "제곱근"),
)
_DEMAND = _near("derive|prove|integrates?|solve|calculate", r"\w{1,24}", 0)


def is_math(prompt: Prompt) -> bool:
    text = prompt.text
    if _TEX.search(prompt.raw):
        return True
    shaped = bool(
        _SUMS.search(text)
        or _TIMES.search(text)
        or _TERMS.search(text)
        or any(part in text for part in _MATH_PARTS)
        or (_QUANTITY.search(text) and len(_NUMBER.findall(text)) >= 2)
    )
    return shaped and (not is_code(prompt) or bool(_DEMAND.search(text)))


# --- creative writing ---------------------------------------------------------------------------

_CREATIVE_NEAR = _near(
    r"write|compose|create|make up|invent|tell(?: me)?|continue|craft|give me|generate|draft"
    r"|schreibe?|erfinde|dichte|erzähle?|verfasse"
    r"|écris|écrivez|raconte(?:-moi)?|invente|compose|imagine"
    r"|escribe|escribir|cuéntame|cuenta|crea|escreva|escreve|conte|conta|crie"
    r"|scrivi|racconta(?:mi)?|inventa|напиши(?:те)?|сочини(?:те)?|придумай(?:те)?|расскажи",
    r"(?:short |bedtime |funny |love |horror )?stor(?:y|ies)(?! behind| of)|poems?|haikus?"
    r"|limericks?|sonnets?|ballads?|odes?|lyrics|songs?|rap battle|raps?|verses?|lullab(?:y|ies)"
    r"|fairy ?tales?|tales?|legends?|myths?|fables?|fan ?fictions?|novels?|novellas?|screenplays?"
    r"|movie scripts?|scenes?|monologues?|dialogues?|plays?|jokes?|fantasy world|parod(?:y|ies)"
    r"|gedichte?|kurzgeschichten?|gutenachtgeschichten?|märchen|liedtexte?|lied|witze?|drehbuch"
    r"|poèmes?|contes?|histoire drôle|chansons?|nouvelle|blague"
    r"|poemas?|cuentos?|relatos?|canci[oó]n(?:es)?|chistes?|história curta|contos?|canç(?:ão|ões)"
    r"|piadas?|poesi[ae]|raccont[oi]|fiab[ae]|canzon[ei]|filastrocc\w{1,3}|barzellett\w"
    r"|стих(?:и|отворение|отворения)?|рассказ|сказку|песню|поэму|историю про|анекдот",
    6,
)
_ADVICE = re.compile(
    r"\b(?:how (?:do i|do you|does one|can i|should i|to)|tips (?:to|for)) \w{1,24}"
)
_ROLE_PLAY = re.compile(
    r"\bstay in character\b|\brole-?play\b|\bpretend (?:to be|you are|you're) an? "
    r"|\bin character as\b|\bact as (?:a|an) (?:pirate|wizard|vampire|character)\b"
)
_CREATIVE_PARTS = re.compile(
    r"(?:写|作|创作|编)(?:一|首|个|篇|段|[^。？！\n]){0,14}(?:诗|故事|小说|童话|歌词|剧本)"
    r"|讲(?:一|个)[^。？！\n]{0,12}故事"
    r"|(?:俳句|短歌|詩|物語|小説|童話|歌詞)[^。？！\n]{0,6}(?:作って|書いて|詠んで|考えて)"
    r"|(?:시|소설|이야기|동화|가사|노래)(?:를|을) ?[^.?!\n]{0,6}(?:써|지어|만들어|들려)"
)


def is_creative(prompt: Prompt) -> bool:
    text = _ADVICE.sub(" ", prompt.text)
    return bool(
        _CREATIVE_NEAR.search(text)
        or _ROLE_PLAY.search(prompt.text)
        or _CREATIVE_PARTS.search(prompt.text)
    )


# --- instructions -------------------------------------------------------------------------------

_COUNT = (
    r"(?:\d{1,5}|one|two|three|four|five|six|seven|eight|nine|ten|fifteen|twenty|fifty"
    r"|ein(?:em|er|en)?|zwei|drei|vier|fünf|zehn|deux|trois|quatre|cinq|dix|dos|tres|cuatro|cinco"
    r"|diez|duas?|dois|três|quatro|due|tre|quattro|cinque|двух|трёх|трех|пяти|десяти)"
)
_UNIT = (
    r"(?:words?|sentences?|paragraphs?|lines?|bullet(?: points?)?|characters?|columns?|stanzas?"
    r"|wörtern?|sätzen?|absätzen?|zeichen|mots|phrases|paragraphes|palabras|frases|párrafos"
    r"|palavras|parágrafos|parole|frasi|paragrafi|слов(?:ах)?|предложени(?:й|ях)|абзац(?:ев|ах))"
)
_LENGTH = re.compile(
    rf"(?<!\w){_COUNT}[ -]{_UNIT}(?!\w)|(?<!\w){_COUNT}(?: to | - |-| and | or )\d{{1,5}} {_UNIT}"
    r"|\d{1,5} ?(?:字|文字|词|句|글자|자 이내|문장)|[一二两三四五三세두한네] ?(?:句话|句|文で|문장)"
)
_FORMAT = re.compile(
    r"\bin (?:a |an |the form of a )?(?:markdown |numbered |bulleted |comma-separated )?"
    r"(?:tables?|lists?|json|csv|xml|yaml|bullet points)\b"
    r"|\bin (?:a|one) (?:short|single) paragraph\b"
    r"|\b(?:numbered|bulleted|comma[- ]separated) lists?\b|\b(?:as|into) an? (?:markdown )?table\b"
    r"|\b(?:valid|as|in) (?:json|csv|xml|yaml|markdown)\b|\bbullet[ -]points?\b"
    r"|\b(?:in )?(?:all |only )?(?:capital|upper ?case|lower ?case) (?:letters|only)\b|\ball caps\b"
    r"|\balphabetical order\b|\b(?:each|one) (?:on a new|per) line\b"
    r"|\bformat (?:your|the) (?:answer|response|reply|output)\b"
    r"|\bnummerierte[rn]? liste\b|\bals (?:tabelle|liste|json)\b|\bstichpunkte\w{0,2}\b"
    r"|\bsous forme de (?:liste|tableau)\b|\ben (?:tabla|forma de lista)\b|\buna por línea\b"
    r"|\bem (?:tabela|tópicos)\b|\bin ordine alfabetico\b|\buna per riga\b"
    r"|\bв (?:виде|форме) (?:таблицы|списка)\b"
    r"|箇条書き|表で|表形式|用表格|列表形式|표로|목록으로"
)
_WORDING = re.compile(
    r"\b(?:without|do not|don't|avoid|never) (?:using |use |using the |use the )"
    r"(?:the |any )?(?:words?|letters?|phrases?|commas?|punctuation)\b"
    r"|\bwithout using\b|\bmust (?:contain|include|start|begin|end|be|not)\b"
    r"|\b(?:starts?|begins?|starting|beginning|ends?|ending) with (?:a question|the (?:word|letter"
    r"|phrase)|\")|\b(?:include|mention) the (?:words?|phrase)\b|\bthe first word\b"
    r"|\bohne das wort\b|\bsans utiliser\b|\bsin usar\b|\bsem usar\b|\bsenza usare\b"
    r"|\bне используя\b"
)
_ONLY = re.compile(
    r"\b(?:answer|reply|respond|output|return|give|write|say)\b[^.!?\n]{0,30}\bonly\b"
    r"|\bonly (?:output|answer|reply|respond|return|give|write)\b|\b(?:and )?nothing else\b"
    r"|\bno (?:explanations?|other text|preamble|commentary)\b|\bwith (?:a|one) (?:single|word)\b"
    r"|\b(?:at most|at least|no more than|no fewer than|less than|fewer than|up to) \w{1,8} "
    r"(?:words|sentences|paragraphs|lines|characters)\b|\bkeep it (?:under|below|short)\b"
    r"|\bnur mit\b|\buniquement par\b|\bsólo con\b|\bsolo con\b|\bapenas com\b"
    r"|\bтолько (?:да|одним)\b"
    r"|只(?:需|要)?(?:回答|输出)|だけ(?:を)?(?:答え|出力)|만 (?:답|출력)"
)


def has_instructions(prompt: Prompt) -> bool:
    text = prompt.text
    return any(rule.search(text) for rule in (_LENGTH, _FORMAT, _WORDING, _ONLY))


# --- refusal ------------------------------------------------------------------------------------

_REFUSAL = re.compile(
    r"\bi(?:'m| am) (?:very |really |so )?sorry,? (?:but )?(?:i|as an ai)\b[^.\n]{0,60}"
    r"\b(?:can't|cannot|can not|won't|unable|not able)\b"
    r"|\bi (?:can't|cannot|can not|won't|will not|am unable to|am not able to|must decline to) "
    r"(?:\w{1,12} )?(?:help|assist|provide|create|fulfil|fulfill|comply|write|generate|support"
    r"|engage|do that|answer|share|give|discuss|continue|participate)\b"
    r"|\bas an ai\b[^.\n]{0,60}\b(?:can't|cannot|unable|not able|don't have the ability)\b"
    r"|\bi'm (?:unable|not able) to (?:help|assist|provide|create|write|answer|fulfil|comply)\b"
    r"|\b(?:dabei|damit) (?:kann ich|nicht helfen)\b"
    r"|\bich kann (?:dir|ihnen)\b[^.\n]{0,40}\bnicht\b"
    r"|\bje ne peux pas\b|\bno puedo (?:ayudar|proporcionar|escribir|cumplir)"
    r"|\bn[ãa]o posso (?:ajudar|fornecer|escrever)|\bnon posso (?:aiutar|fornire|scrivere)"
    r"|\bя не могу (?:помочь|предоставить|выполнить|написать)\b"
    r"|(?:抱歉|对不起)[^。\n]{0,20}(?:不能|无法)|申し訳[^。\n]{0,40}(?:できません|できかねます|お答え)"
    r"|죄송[^.\n]{0,40}(?:없습니다|어렵습니다)"
)


def is_refusal(answer: str) -> bool:
    """Whether an answer declines at its beginning. A late "I cannot say" is no refusal."""
    return _REFUSAL.search(answer[:OPENING].lower().replace("’", "'")) is not None
