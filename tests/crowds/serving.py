from ..support import ROOT as ROOT
