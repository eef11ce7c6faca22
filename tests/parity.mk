# parity.mk - comparisons with transformers, open_clip, ONNX Runtime, OpenVINO and PyTorch, which come from PyPI into build/venv.
#
#   make venv      makes build/venv, or adds what it lacks
#   make parity    the same work here and there, side by side; closes with "N passed, N failed"
#   make peers     the comparison of speed

VENV ?= build/venv
PARITY ?= $(sort $(wildcard tests/parity/parity_*.py))

$(VENV)/complete: bench/requirements.txt
	test -x $(VENV)/bin/python || python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check -q -r bench/requirements.txt
	touch $@
venv: $(VENV)/complete

parity: all $(B)/tests/unit/test_safetensors $(B)/tests/unit/test_archive $(B)/tests/unit/test_convert $(VENV)/complete
	$(VENV)/bin/python tests/parity/run_parity.py $(B) $(PARITY)
peers: all $(VENV)/complete
	$(VENV)/bin/python bench/peers.py --tinyclip $(B)/tinyclip

.PHONY: venv parity peers
