# Copyright 2026 The hbvla_ros Authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""
A tokenizer of Llama's kind, trained in a fraction of a second on sentences kept here.

It has the properties that policies rely on: ``<s>`` first, bytes for what it does not know, and
the lone space as its own token. It is for tests and demonstrations, not for a published policy.
"""

from collections.abc import Iterable
from itertools import product
import json

from tokenizers import (
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    Tokenizer,
    trainers,
)

_SPECIAL = ('<unk>', '<s>', '</s>')
_PAD = '<PAD>'
_SPACE = '▁'
_VERBS = ('pick up', 'put', 'lift', 'push', 'open', 'close', 'fold', 'scoop', 'place', 'touch')
_THINGS = ('the red cube', 'the green pepper', 'the black bowl', 'the drawer', 'the white plate')
_PLACES = ('into the pot', 'on the table', 'with the left arm', 'with the right arm', 'there')


def train_tokenizer(vocab_size: int, tasks: Iterable[str] = ()) -> bytes:
    """
    Train the tokenizer.

    :param vocab_size: rows of the embedding table, more than 300; the tokens stay below
    :param tasks: instructions to train on; none for made-up ones
    :return: contents of ``tokenizer.json``; the same bytes every time
    """
    tokenizer = Tokenizer(models.BPE(unk_token='<unk>', fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(_SPACE), normalizers.Replace(' ', _SPACE)]
    )
    # Only in training: no merge may cross a space, so that the lone space stays a token.
    tokenizer.pre_tokenizer = pre_tokenizers.Split(_SPACE, 'merged_with_next')
    byte_tokens = [f'<0x{value:02X}>' for value in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1, special_tokens=[*_SPECIAL, *byte_tokens], show_progress=False
    )
    tokenizer.train_from_iterator(_sentences(tasks), trainer)
    return _like_llama(tokenizer)


def _sentences(tasks: Iterable[str]) -> list[str]:
    made_up = (' '.join(words) for words in product(_VERBS, _THINGS, _PLACES))
    wanted = list(tasks) or made_up
    return [f'In: What action should the robot take to {task}? Out:' for task in wanted]


def _like_llama(tokenizer: Tokenizer) -> bytes:
    """Give the trained tokenizer the outer form of Llama's."""
    tokenizer.add_special_tokens([_PAD])
    tokenizer.post_processor = processors.TemplateProcessing(
        single='<s> $A', special_tokens=[('<s>', tokenizer.token_to_id('<s>'))]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, ' '), decoders.ByteFallback(), decoders.Fuse()]
    )
    data = json.loads(tokenizer.to_str())
    data['pre_tokenizer'] = None
    # The byte tokens belong to the vocabulary; listed here, the text "<0x41>" would become one.
    data['added_tokens'] = [t for t in data['added_tokens'] if t['content'] in (*_SPECIAL, _PAD)]
    return json.dumps(data, ensure_ascii=False, indent=1).encode()
