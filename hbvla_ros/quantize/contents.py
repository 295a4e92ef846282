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

"""Put together what an artifact holds once every block is quantized."""

from dataclasses import asdict, replace
from typing import Any

from hbvla_ros import __version__
from hbvla_ros.artifact.manifest import LayerEntry, Manifest
from hbvla_ros.artifact.store import Artifact
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.kernels.packing import pack, PackedWeight, permutation_bytes
from hbvla_ros.models.packed import compact
from hbvla_ros.quantize.int8_gate import int8_errors
from hbvla_ros.quantize.preparation import Provenance
from hbvla_ros.quantize.samples import calibration_kind
from hbvla_ros.quantize.state import BlockJob, QuantizedLayer
import torch


def artifact_contents(work: BlockJob, provenance: Provenance) -> Artifact:
    """
    Pack the quantized layers and describe them.

    :param work: a finished job
    :param provenance: where it all comes from
    :return: the artifact, ready to be saved
    """
    layers = _pack_layers(work.layers)
    replaced = {f'{name}.weight' for name in layers}
    state = work.model.state_dict()
    kept = {name: compact(tensor) for name, tensor in state.items() if name not in replaced}
    errors = int8_errors(work, layers)
    entries = {
        name: replace(_entry(work.layers, name, layers[name]), int8_error=errors.get(name))
        for name in layers
    }
    job = provenance.job
    manifest = Manifest(
        package_version=__version__,
        model=job.model,
        architecture=work.model.architecture(),
        facts=work.model.facts.to_json(),
        source=provenance.source,
        job=_job(work, provenance),
        calibration={
            'kind': calibration_kind(job.calibration),
            'robot': job.robot,
            'samples': provenance.num_samples,
            'sha256': provenance.samples_hash,
            'action_error': action_error(work),
        },
        totals=_totals(work.layers, layers, kept),
        layers=entries,
        skipped=dict(sorted(work.skipped.items())),
    )
    return Artifact(manifest, layers, kept, work.model.assets())


def _job(work: BlockJob, provenance: Provenance) -> dict[str, Any]:
    """Return every choice that decided about the weights."""
    job, options = provenance.job, work.options
    names = ('method', 'tune', 'tune_steps', 'planes', 'plane_budget', 'probe', 'probe_draws')
    return {name: getattr(job, name) for name in (*names, 'seed', 'hessian_dtype')} | {
        'config': asdict(provenance.config),
        'target': options.target,
        'target_factor': options.target_factor,
        'two_planes': sorted(options.overrides),
        'components': list(job.components),
        'protect': list(job.protect),
        'chosen': job.chosen(places=False),
    }


@torch.no_grad()
def action_error(work: BlockJob) -> float:
    """Return the mean absolute change of the actions on the samples, in normalised units."""
    changes = [
        (work.model(inputs) - before).abs().mean()
        for inputs, before in zip(work.inputs, work.actions, strict=True)
    ]
    return float(torch.stack(changes).mean())


def _pack_layers(layers: dict[str, QuantizedLayer]) -> dict[str, PackedWeight]:
    packed: dict[str, PackedWeight] = {}
    for name, layer in layers.items():
        assert isinstance(layer.weight, BinaryWeight)
        one = pack(layer.weight)
        if layer.family in packed:  # members share one permutation tensor
            one = replace(one, layout=packed[layer.family].layout)
        packed[name] = one
    return packed


def _family_size(layers: dict[str, QuantizedLayer], family: str) -> int:
    return sum(layer.weight.out_features for layer in layers.values() if layer.family == family)


def _entry(layers: dict[str, QuantizedLayer], name: str, packed: PackedWeight) -> LayerEntry:
    layer, layout = layers[name], packed.layout
    weights = packed.out_features * layout.in_features
    share = packed.out_features / _family_size(layers, layer.family)
    stored = packed.stored_bytes + permutation_bytes(layout) * share
    return LayerEntry(
        shape=(packed.out_features, layout.in_features),
        component=layer.component,
        family=layer.family,
        num_salient=layout.num_salient,
        transform=layout.transform,
        salient_transform=layout.salient_transform,
        has_permutation=layout.permutation is not None,
        bits_sign=(layout.in_features + layout.num_salient) / layout.in_features,
        bits_stored=8 * stored / weights,
        output_error=layer.output_error,
        policy_error=layer.policy_error,
        seconds=layer.seconds,
    )


def _totals(
    layers: dict[str, QuantizedLayer],
    packed: dict[str, PackedWeight],
    kept: dict[str, torch.Tensor],
) -> dict[str, Any]:
    weights = sum(one.out_features * one.layout.in_features for one in packed.values())
    signs = sum(
        one.out_features * (one.layout.in_features + one.layout.num_salient)
        for one in packed.values()
    )
    families = {layer.family for layer in layers.values()}
    stored = sum(one.stored_bytes for one in packed.values())
    stored += sum(permutation_bytes(packed[family].layout) for family in families)
    return {
        'quantized_weights': weights,
        'kept_parameters': sum(tensor.numel() for tensor in kept.values()),
        'bits_sign': signs / weights,
        'bits_stored': 8 * stored / weights,
        'packed_bytes': stored,
        'kept_bytes': sum(tensor.numel() * tensor.element_size() for tensor in kept.values()),
    }
