"""The form in a real browser: rated by the keyboard, kept over a restart, saved to a file."""

import json
import os
import shutil
import subprocess

import pytest

import readers_world as world
from pellucid.readers import study_read

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome")) if p), None)
DRIVE = """<script>(function(){
var $=function(i){return document.getElementById(i)},out={begun:$('progress').textContent,lost:!$('lost').hidden},kept=null;
URL.createObjectURL=function(b){kept=b;return 'data:,'};
HTMLAnchorElement.prototype.click=function(){out.name=this.download};
function key(k,shift){document.activeElement.dispatchEvent(new KeyboardEvent('keydown',{key:k,shiftKey:!!shift,bubbles:true,cancelable:true}))}
function ratings(){return [].map.call(document.querySelectorAll('#items input:checked'),function(i){return Number(i.value)})}
if(!$('intro').hidden)$('begin').click();
out.at=$('progress').textContent;out.there=ratings();
if(!out.there.length){'4325'.split('').forEach(function(k){key(k)})}
$('comment').value='faint';$('comment').dispatchEvent(new Event('input'));
$('comment').focus();key('1');
out.given=ratings();$('what').focus();key('Enter');out.next=$('progress').textContent;out.blank=ratings();
key('Enter',true);out.back=$('progress').textContent;out.again=ratings();
out.wide=document.documentElement.scrollWidth<=innerWidth;
$('save').click();
kept.text().then(function(t){out.file=JSON.parse(t);var p=document.createElement('pre');p.id='out';p.textContent=JSON.stringify(out);document.body.append(p)});
})()</script></body>"""


def drive(form, profile):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--window-size=390,800",
               "--virtual-time-budget=3000", "--dump-dom", form.as_uri()]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "LANG": "C.UTF-8"}).stdout
    return json.loads(dom.split('<pre id="out">')[1].split("</pre>")[0])


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium or chrome on this machine to open the form with")
def test_a_reader_rates_by_keyboard_comes_back_and_saves_a_file(tmp_path, monkeypatch):
    run = world.run(tmp_path / "run", n=2, methods=("grad_cam", "random"))
    made = world.form(run.folder, monkeypatch, readers=1, repeat=0)
    form = tmp_path / "driven.html"
    form.write_text(made.forms[0].read_text(encoding="utf-8").replace("</body>", DRIVE), encoding="utf-8")
    first = drive(form, tmp_path / "profile")
    assert (first["begun"], first["at"], first["next"], first["back"]) == ("0 of 4 rated", "1 of 4", "2 of 4", "1 of 4")
    assert first["there"] == [] and first["blank"] == [] and first["given"] == first["again"] == [4, 3, 2, 5]
    assert not first["lost"] and first["wide"]
    second = drive(form, tmp_path / "profile")  # a browser that was closed and opened again
    assert second["begun"] == "1 of 4" and second["there"] == [4, 3, 2, 5] and second["file"] == first["file"]
    saved = tmp_path / first["name"]
    saved.write_text(json.dumps(second["file"]))
    monkeypatch.setattr("pellucid.readers.read.build_report", lambda folder: folder)
    found = study_read(run.folder, [saved], n_boot=20)
    given = found.tables["readers_ratings"].query("comment == 'faint'").iloc[0]
    assert given[["relevance", "coherence", "confidence", "actionability"]].tolist() == [4, 3, 2, 5]
    assert found.unfinished == ("reader 1: 4 of 16 ratings given",)
